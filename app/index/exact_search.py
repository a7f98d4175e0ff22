"""Exact answers to many queries at once: all vectors of an index are read and compared.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex
from app.vectors import Vectors, unit_rows

CHUNK = 8_192  # vectors compared at a time: 16 MB of 512 dimensions; 32 MB of 1,000 scores each
COPY_HEADER = 19  # bytes

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ExactNeighbours:
    """The exact answers to n queries, each summed up in two numbers, shape (n,).

    `counts` is the number of neighbours in an answer, at most k; `farthest` the distance of the
    last, −∞ where there are none. `vectors` is how many vectors were compared.
    """

    counts: NDArray[np.int64]
    farthest: NDArray[np.float32]
    vectors: int

    def part(self, some: slice) -> "ExactNeighbours":
        """That of some of the queries."""
        return ExactNeighbours(self.counts[some], self.farthest[some], self.vectors)


def exact_neighbours(
    session: Session, index: VectorIndex, queries: Vectors, excluded: Ids, k: int
) -> ExactNeighbours:
    """The `k` nearest neighbours of each query, shape (n, d), in one pass over all vectors.

    The picture `excluded[i]` is left out of the answer to query i; an id of no picture excludes
    nothing. Queries are rounded as the database rounds them.
    """
    rounded = unit_rows(queries.astype(_value_type(index)).astype(np.float32))
    best = np.full((len(queries), k), -np.inf, np.float32)
    count = 0
    for ids, vectors in read_vectors(session, index):
        count += len(ids)
        scores = rounded @ vectors.T
        scores[excluded[:, np.newaxis] == ids] = -np.inf
        better = (scores > best.min(axis=1, keepdims=True)).any(axis=0)  # soon very few
        pool = np.hstack([best, scores[:, better]])
        best = np.partition(pool, -k, axis=1)[:, -k:]
    there = np.isfinite(best)
    last = np.where(there, best, np.inf).min(axis=1)
    return ExactNeighbours(there.sum(axis=1), 1 - last, count)


def read_vectors(session: Session, index: VectorIndex) -> Iterator[tuple[Ids, Vectors]]:
    """All vectors of whole pictures, CHUNK at a time: ids, shape (n,), and unit rows, (n, d).

    In no particular order. COPY reads a million in seconds, where SELECT takes a minute.
    """
    raw: Any = session.connection().connection.driver_connection
    statement = SQL(
        "COPY (SELECT image_id, {} FROM embeddings WHERE index_id = {} AND region = 0) "
        "TO STDOUT (FORMAT binary)"
    )
    row, data, start = _row_type(index), bytearray(), COPY_HEADER
    full = CHUNK * row.itemsize
    with raw.cursor().copy(
        statement.format(Identifier(index.column.name), Literal(index.id))
    ) as copy:
        for piece in copy:
            data += piece
            if len(data) - start >= full:
                yield _parsed(data, row, start)
                data, start = data[start + full :], 0
    if len(data) - start >= row.itemsize:  # the trailer has two bytes
        yield _parsed(data, row, start)


def _parsed(data: bytearray, row: np.dtype[np.void], start: int) -> tuple[Ids, Vectors]:
    count = min(CHUNK, (len(data) - start) // row.itemsize)
    rows = np.frombuffer(data, row, count, start)
    values = rows["values"]
    native = values.astype(values.dtype.newbyteorder("="))
    return rows["image_id"].astype(np.int64), unit_rows(native.astype(np.float32))


def _row_type(index: VectorIndex) -> np.dtype[np.void]:
    """A row of COPY's binary format, big-endian: int8, halfvec or vector, each after its length."""
    value = _value_type(index).newbyteorder(">")
    return np.dtype(
        [("fields", ">i2"), ("eight", ">i4"), ("image_id", ">i8"), ("length", ">i4"),
         ("dimensions", ">i2"), ("unused", ">i2"), ("values", value, (index.dimensions,))]
    )  # fmt: skip


def _value_type(index: VectorIndex) -> np.dtype[Any]:
    """The type of a stored vector's numbers; queries are rounded to it too."""
    return np.dtype(np.float32 if index.storage == "vector" else np.float16)
