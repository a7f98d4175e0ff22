"""SQL that reads the tables of a dataset from the database, by a cursor on the server.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import LargeBinary, Row, Select, Text, cast, func, literal, or_, select
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.label_tables import image_labels, label_sets
from app.database.tables import PRESENT, VectorIndex, embeddings, images
from app.index.embeddings import BINARY_FORMATS, BINARY_HEADER, FURTHER_PAGE
from app.runtime.dataset.tables import (
    BATCH,
    IMAGES,
    JSON_KINDS,
    LABEL_SETS,
    LABELS,
    PAGES,
    QUERIES,
    RATINGS,
    Batch,
    DataTable,
)
from app.understanding.labels.image_label_rows import CURRENT
from app.vectors import Vectors


def read_table(session: Session, index: VectorIndex, table: DataTable) -> Generator[Batch]:
    """The rows of a table, BATCH at a time; pictures by their ids."""
    query = QUERIES_OF[table.name](index)
    with session.execute(query, execution_options={"yield_per": BATCH}) as found:
        for rows in found.partitions():
            if table.has_vectors:
                stored = "embedding" if table is QUERIES else index.column.name
                vectors = _numbers(rows, BINARY_FORMATS[stored][1], index.dimensions)
                yield Batch([tuple(row)[:-1] for row in rows], vectors)
            else:
                yield Batch([tuple(row) for row in rows])


def _numbers(rows: Sequence[Row[Any]], kind: str, dimensions: int) -> Vectors:
    """The vectors that the last values of rows are, as pgvector sends them."""
    sent = np.dtype([("header", f"V{BINARY_HEADER}"), ("numbers", kind, (dimensions,))])
    raw = np.frombuffer(b"".join(row[-1] for row in rows), sent)
    return raw["numbers"].astype(np.float32)


def _pictures(index: VectorIndex) -> Select[Any]:
    own: dict[str, Any] = {
        "sha256": func.encode(images.c.content_hash, "hex"),
        **{name: cast(images.c[name], Text) for name, kind in IMAGES.columns.items()
           if kind in JSON_KINDS},
    }  # fmt: skip
    columns = [own[name] if name in own else images.c[name] for name in IMAGES.columns]
    query = _with_vectors(index, *columns).where(embeddings.c.region == 0)
    return query.order_by(images.c.id)


def _further_pages(index: VectorIndex) -> Select[Any]:
    query = _with_vectors(index, embeddings.c.image_id, embeddings.c.region)
    return query.where(FURTHER_PAGE).order_by(embeddings.c.image_id, embeddings.c.region)


def _with_vectors(index: VectorIndex, *columns: Any) -> Select[Any]:
    send, _ = BINARY_FORMATS[index.column.name]
    query = select(*columns, send(index.column, type_=LargeBinary))
    query = query.join_from(images, embeddings, embeddings.c.image_id == images.c.id)
    ours = (images.c.collection_id == index.collection_id, PRESENT)
    return query.where(embeddings.c.index_id == index.id, *ours)


def _label_sets(index: VectorIndex) -> Select[Any]:
    """Those whose prompts the model of the vectors has embedded."""
    definition = cast(label_sets.c.definition, Text)
    own = (label_sets.c.name, definition, label_sets.c.logit_scale, label_sets.c.vectors)
    return select(*own).where(*_embedded(index)).order_by(label_sets.c.id)


def _labels(index: VectorIndex) -> Select[Any]:
    columns = (
        *(image_labels.c.image_id, label_sets.c.name, image_labels.c.label),
        image_labels.c.probability,
    )
    query = select(*columns).join_from(image_labels, label_sets, CURRENT)
    query = query.join(images, (images.c.id == image_labels.c.image_id) & PRESENT)
    return query.where(*_embedded(index)).order_by(image_labels.c.image_id)


def _embedded(index: VectorIndex) -> tuple[Any, Any]:
    return (
        label_sets.c.collection_id == index.collection_id,
        label_sets.c.fingerprint == index.fingerprint,
    )


def _rated_queries(index: VectorIndex) -> Select[Any]:
    """Those that have a rating: an earlier version kept the text of a rating that was withdrawn."""
    send, _ = BINARY_FORMATS["embedding"]
    digest = func.encode(feedback_queries.c.digest, "hex")
    own = (digest, feedback_queries.c.query, feedback_queries.c.created_at)
    query = select(*own, send(feedback_queries.c.embedding, type_=LargeBinary))
    rated = select(literal(1)).where(feedback.c.query_id == feedback_queries.c.id).exists()
    query = query.where(feedback_queries.c.index_id == index.id, rated)
    return query.order_by(feedback_queries.c.id)


def _ratings(index: VectorIndex) -> Select[Any]:
    digest = func.encode(feedback_queries.c.digest, "hex")
    names = ("image_id", "rating", "comment", "created_at", "updated_at")
    query = select(digest, cast(feedback.c.search, Text), *(feedback.c[name] for name in names))
    query = query.join_from(feedback, feedback_queries)
    is_there = select(literal(1)).where(images.c.id == feedback.c.image_id, PRESENT).exists()
    whole = feedback.c.image_id.is_(None)
    query = query.where(feedback_queries.c.index_id == index.id, or_(whole, is_there))
    return query.order_by(feedback.c.id)


QUERIES_OF: dict[str, Callable[[VectorIndex], Select[Any]]] = {
    IMAGES.name: _pictures,
    PAGES.name: _further_pages,
    LABEL_SETS.name: _label_sets,
    LABELS.name: _labels,
    QUERIES.name: _rated_queries,
    RATINGS.name: _ratings,
}
