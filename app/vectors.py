"""Embedding vectors: the space they belong to, and the rule that keeps them comparable."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""float32, shape (n, dimensions) for many or (dimensions,) for one; every row of length 1."""

Arithmetic = Literal["float", "int8"]
"""What a model's pictures are computed in: fp32, bf16 and fp16 give comparable vectors, so they are
one; int8's are others."""

UNIT_TOLERANCE = 1e-3
"""How far from 1 a vector's length may be before it is refused."""

HALF_UNIT_TOLERANCE = 2e-7
"""How far from 1 the squared length of a vector in half precision may be: float32's rounding."""
HALF_ROUNDS = 16  # components moved at most: 2 to 4 are usual


@dataclass(frozen=True)
class VectorSpace:
    """What makes two embeddings comparable: the same fingerprint.

    `fingerprint` is the SHA-256 (hex) of the weights, the architecture, the tokenizer's
    settings and the preprocessing, and where these are in int8, of the quantised weights;
    `dimensions` is the length of a vector. `precision` is None where it was not recorded.
    """

    model: str
    pretrained: str
    fingerprint: str
    dimensions: int
    precision: Arithmetic | None = "float"

    @property
    def name(self) -> str:
        """The model as a person would name it: `ViT-B-32 / datacomp_xl_s13b_b90k in int8`."""
        name = f"{self.model} / {self.pretrained}" if self.pretrained else self.model
        return f"{name} in int8" if self.precision == "int8" else name


def unit_rows(rows: NDArray[np.float32]) -> Vectors:
    """Scale each row of `rows`, shape (n, d), to length 1.

    Raises ValueError where a row has no direction: zeros, NaN or infinity.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ValueError("an embedding is zero or not finite")
    unit: Vectors = (rows / lengths).astype(np.float32)
    return unit


def unit_halves(rows: Vectors) -> NDArray[np.float16]:
    """Round unit rows, shape (n, d), to half precision so that the rounded rows have length 1 too.

    Plain rounding changes lengths by about 1e-5. pgvector's graphs compare inner products, and
    where neighbours are closer than that, the longest vector is everyone's nearest: the others drop
    out of the graph. So single components are moved to an adjacent half-precision number until the
    squared length is 1 within HALF_UNIT_TOLERANCE, or as near as it gets.
    """
    halves = rows.astype(np.float16)
    for _ in range(HALF_ROUNDS):
        missing = 1 - np.square(halves, dtype=np.float64).sum(axis=1)
        wrong = np.flatnonzero(np.abs(missing) > HALF_UNIT_TOLERANCE)
        if len(wrong) == 0:
            break
        some, missing = halves[wrong], missing[wrong]
        outwards = np.copysign(np.float16(np.inf), some)
        towards = np.where(missing[:, np.newaxis] > 0, outwards, np.float16(0))
        moved = np.nextafter(some, towards)
        change = np.square(moved, dtype=np.float64) - np.square(some, dtype=np.float64)
        left = np.abs(missing[:, np.newaxis] - change)
        best = left.argmin(axis=1)
        better = left[np.arange(len(wrong)), best] < np.abs(missing)
        halves[wrong[better], best[better]] = moved[better, best[better]]
    return halves


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
