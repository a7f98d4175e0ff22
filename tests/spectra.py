"""Generated vectors whose spectrum is like that of CLIP's embeddings: a few strong directions."""

import numpy as np

from app.vectors import Vectors, unit_rows

RANK = 64  # directions that carry the meaning
NOISE = 0.3  # deviation in every direction, relative to those


def clip_like(count: int, dimensions: int, seed: int) -> Vectors:
    """`count` unit vectors, float32, shape (count, dimensions): low-rank Gaussian plus noise.

    The strong directions depend on no seed, so that queries and gallery share them.
    """
    directions = np.random.default_rng(0).standard_normal((RANK, dimensions), np.float32)
    own = np.random.default_rng(seed)
    meaning = own.standard_normal((count, RANK), np.float32) @ directions / np.sqrt(RANK)
    noise = NOISE * own.standard_normal((count, dimensions), np.float32)
    return unit_rows(meaning + noise)
