"""Embedding vectors: the space they belong to, and the rule that keeps them comparable."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""float32, shape (n, dimensions) for many or (dimensions,) for one; every row of length 1."""

UNIT_TOLERANCE = 1e-3
"""How far from 1 a vector's length may be before it is refused."""


@dataclass(frozen=True)
class VectorSpace:
    """What makes two embeddings comparable: the same fingerprint.

    `fingerprint` is the SHA-256 (hex) of the weights, the architecture, the tokenizer's
    settings and the preprocessing; `dimensions` the length of a vector.
    """

    model: str
    pretrained: str
    fingerprint: str
    dimensions: int

    @property
    def name(self) -> str:
        """The model as a person would name it: `ViT-B-32 / datacomp_xl_s13b_b90k`."""
        return f"{self.model} / {self.pretrained}" if self.pretrained else self.model


def unit_rows(rows: NDArray[np.float32]) -> Vectors:
    """Scale each row of `rows`, shape (n, d), to length 1.

    Raises ValueError where a row has no direction: zeros, NaN or infinity.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ValueError("an embedding is zero or not finite")
    unit: Vectors = (rows / lengths).astype(np.float32)
    return unit


def check_vectors(vectors: Vectors, space: VectorSpace) -> None:
    """Refuse what must never reach the database.

    Raises ValueError unless `vectors`, shape (n, d), are finite, of the space's dimensions
    and of unit length within UNIT_TOLERANCE.
    """
    if vectors.ndim != 2 or vectors.shape[1] != space.dimensions:
        raise ValueError(f"embeddings of shape {vectors.shape}, expected (n, {space.dimensions})")
    lengths = np.linalg.norm(vectors, axis=1)
    if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():  # also false for NaN and infinity
        raise ValueError("an embedding is not finite or not of unit length")
