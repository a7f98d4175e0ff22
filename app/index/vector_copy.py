"""Vectors into an index by binary COPY: many times as fast as INSERT.

Every function takes a Session and leaves the transaction to its caller.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.sql import SQL, Identifier
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex
from app.vectors import Vectors, unit_halves

COPIED = 10_000  # vectors converted at a time: 10 MB of 512 dimensions
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

Numbers = NDArray[np.int64]


def copy_vectors(
    session: Session,
    index: VectorIndex,
    image_ids: Numbers,
    vectors: Vectors,
    regions: Numbers | None = None,
) -> None:
    """COPY the vectors, float32 (n, dimensions), of pictures, or of `regions` of theirs, (n,)."""
    raw: Any = session.connection().connection.driver_connection
    of = np.zeros(len(image_ids), np.int64) if regions is None else regions
    statement = SQL("COPY embeddings (index_id, image_id, region, {}) FROM STDIN (FORMAT binary)")
    with raw.cursor().copy(statement.format(Identifier(index.column.name))) as copy:
        copy.write(HEADER)
        for start in range(0, len(vectors), COPIED):
            some = slice(start, start + COPIED)
            copy.write(_binary_rows(index, image_ids[some], of[some], vectors[some]))
        copy.write(TRAILER)


def _binary_rows(
    index: VectorIndex, image_ids: Numbers, regions: Numbers, vectors: Vectors
) -> bytes:
    """Rows of int4, int8, int4, and halfvec or vector, each after its byte length."""
    value = np.dtype(">f4" if index.storage == "vector" else ">f2")
    row = [("fields", ">i2"), ("four", ">i4"), ("index_id", ">i4"), ("eight", ">i4"),
           ("image_id", ">i8"), ("fours", ">i4"), ("region", ">i4"), ("length", ">i4"),
           ("dimensions", ">i2"), ("unused", ">i2"),
           ("values", value, (index.dimensions,))]  # fmt: skip
    rows = np.zeros(len(vectors), row)
    rows["fields"], rows["four"], rows["eight"], rows["fours"] = 4, 4, 8, 4
    rows["index_id"], rows["image_id"], rows["region"] = index.id, image_ids, regions
    rows["length"] = 4 + value.itemsize * index.dimensions
    rows["dimensions"] = index.dimensions
    rows["values"] = vectors if index.storage == "vector" else unit_halves(vectors)
    return rows.tobytes()
