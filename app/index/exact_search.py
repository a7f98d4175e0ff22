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
    nothing. Of a picture with parts the nearest counts. Queries are rounded as the database rounds
    them.
    """
    rounded = unit_rows(queries.astype(_value_type(index)).astype(np.float32))
    best = np.full((len(queries), k), -np.inf, np.float32)
    count = 0
    for ids, vectors in _by_picture(session, index):
        count += len(ids)
        scores = rounded @ vectors.T
        pictures, scores = _nearest_parts(ids, scores)
        scores[excluded[:, np.newaxis] == pictures] = -np.inf
        better = (scores > best.min(axis=1, keepdims=True)).any(axis=0)  # soon very few
        pool = np.hstack([best, scores[:, better]])
        best = np.partition(pool, -k, axis=1)[:, -k:]
    there = np.isfinite(best)
    last = np.where(there, best, np.inf).min(axis=1)
    return ExactNeighbours(there.sum(axis=1), 1 - last, count)


def _by_picture(session: Session, index: VectorIndex) -> Iterator[tuple[Ids, Vectors]]:
    """All vectors that searches compare, all those of a picture together."""
    if not index.has_parts:
        yield from read_vectors(session, index)
        return
    ids, vectors = np.empty(0, np.int64), np.empty((0, index.dimensions), np.float32)
    for more, others in read_vectors(session, index, parts=True):
        ids, vectors = np.concatenate([ids, more]), np.concatenate([vectors, others])
        whole = int(np.searchsorted(ids, ids[-1]))  # the last picture may go on
        yield ids[:whole], vectors[:whole]
        ids, vectors = ids[whole:], vectors[whole:]
    yield ids, vectors


def _nearest_parts(ids: Ids, scores: NDArray[np.float32]) -> tuple[Ids, NDArray[np.float32]]:
    """Pictures and their best scores, shape (n, pictures), of ascending ids and (n, rows)."""
    pictures, starts = np.unique(ids, return_index=True)
    if len(pictures) == len(ids):
        return ids, scores
    return pictures, np.maximum.reduceat(scores, starts, axis=1)


def exact_answers(
    session: Session, index: VectorIndex, queries: Vectors, k: int
) -> list[dict[int, float]]:
    """The ids of the `k` nearest pictures of each query, shape (n, d), with their distances.

    For few neighbours: `exact_neighbours` needs half the memory. Distances are the same but for
    `product_rounding`, in whatever order the vectors are read.
    """
    ids: Ids = np.empty((len(queries), 0), np.int64)
    scores: NDArray[np.float32] = np.empty((len(queries), 0), np.float32)
    for some, vectors in read_vectors(session, index):
        ids = np.hstack([ids, np.broadcast_to(some, (len(queries), len(some)))])
        scores = np.hstack([scores, queries @ vectors.T])
        best = np.argpartition(-scores, min(k, ids.shape[1]) - 1)[:, :k]
        ids, scores = np.take_along_axis(ids, best, 1), np.take_along_axis(scores, best, 1)
    distances = (1 - scores).tolist()
    return [dict(zip(*one, strict=True)) for one in zip(ids.tolist(), distances, strict=True)]


def product_rounding(dimensions: int) -> float:
    """By how much two distances of the same two unit vectors can differ, in float32.

    A sum of d products is within d·ε/2 of the true one in whichever order a kernel adds, which
    depends on the places of the rows in a matrix; the lengths by which both vectors were divided
    add as much again. So each distance is within d·ε, and two are within 2·d·ε of each other.
    """
    return 2 * dimensions * float(np.finfo(np.float32).eps)


def read_vectors(
    session: Session, index: VectorIndex, *, every_row: bool = False, parts: bool = False
) -> Iterator[tuple[Ids, Vectors]]:
    """The vectors of whole pictures, CHUNK at a time: ids, shape (n,), and unit rows, (n, d).

    With `parts` also those of pages and regions, in the order of ids; with `every_row` these too,
    and those of deleted pictures that can be restored. Else in no particular order. COPY reads a
    million in seconds, where SELECT takes a minute.
    """
    raw: Any = session.connection().connection.driver_connection
    statement = SQL(
        "COPY (SELECT image_id, {} FROM embeddings WHERE index_id = {} AND ({} OR "
        "(region = 0 OR {}) AND image_id NOT IN "
        "(SELECT id FROM images WHERE removed_at IS NOT NULL)) {}) TO STDOUT (FORMAT binary)"
    )
    order = SQL("ORDER BY image_id" if parts else "")
    row, data, start = _row_type(index), bytearray(), COPY_HEADER
    full = CHUNK * row.itemsize
    with raw.cursor().copy(
        statement.format(
            Identifier(index.column.name),
            Literal(index.id),
            Literal(every_row),
            Literal(parts),
            order,
        )
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
