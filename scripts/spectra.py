"""Generated vectors of a spectrum like that of CLIP's, and a fast way into a database for them."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.tables import VectorIndex
from app.vectors import Vectors, unit_rows

RANK = 64  # directions that carry the meaning
NOISE = 0.3  # deviation in every direction, relative to those
COPIED = 10_000  # rows of one piece of a COPY: 20 MB of 512 dimensions


def clip_like(count: int, dimensions: int, seed: int) -> Vectors:
    """`count` unit vectors, float32, shape (count, dimensions): low-rank Gaussian plus noise.

    The strong directions depend on no seed, so that queries and gallery share them.
    """
    directions = np.random.default_rng(0).standard_normal((RANK, dimensions), np.float32)
    own = np.random.default_rng(seed)
    meaning = own.standard_normal((count, RANK), np.float32) @ directions / np.sqrt(RANK)
    noise = NOISE * own.standard_normal((count, dimensions), np.float32)
    return unit_rows(meaning + noise)


def insert_images(session: Session, collection_id: int, metadata: Sequence[str]) -> None:
    """A picture without a file for each JSON text; in an empty database their ids start at 1."""
    session.execute(
        text(
            "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, "
            "format, metadata) SELECT :collection, 'made/' || n, sha256(n::text::bytea), n::text, "
            "1, 1, 1, 'PNG', entry::jsonb "
            "FROM unnest(CAST(:metadata AS text[])) WITH ORDINALITY AS made (entry, n) ORDER BY made.n"
        ),
        {"collection": collection_id, "metadata": list(metadata)},
    )


def copy_vectors(session: Session, index: VectorIndex, vectors: Vectors) -> None:
    """COPY `vectors`, shape (n, dimensions), as those of the pictures 1 to n."""
    raw = session.connection().connection.driver_connection
    assert raw is not None  # noqa: S101
    column = index.column.name
    with raw.cursor().copy(
        f"COPY embeddings (index_id, image_id, {column}) FROM STDIN (FORMAT binary)"
    ) as copy:
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        for start in range(0, len(vectors), COPIED):
            copy.write(_binary_rows(index, start + 1, vectors[start : start + COPIED]))
        copy.write(b"\xff\xff")


def _binary_rows(index: VectorIndex, first: int, vectors: Vectors) -> bytes:
    """(int4, int8, halfvec or vector), each field after its length in bytes; ids from `first`."""
    dimensions = vectors.shape[1]
    value = np.dtype(">f4" if index.storage == "vector" else ">f2")
    row = [("fields", ">i2"), ("four", ">i4"), ("index_id", ">i4"), ("eight", ">i4"),
           ("image_id", ">i8"), ("length", ">i4"), ("dimensions", ">i2"), ("unused", ">i2"),
           ("values", value, (dimensions,))]  # fmt: skip
    rows = np.zeros(len(vectors), row)
    rows["fields"], rows["four"], rows["eight"] = 3, 4, 8
    rows["index_id"], rows["image_id"] = index.id, np.arange(first, first + len(vectors))
    rows["length"], rows["dimensions"] = 4 + value.itemsize * dimensions, dimensions
    rows["values"] = vectors
    return rows.tobytes()
