"""SQL that writes the tables of a dataset into a collection, all in one transaction.

Pictures are found again by path and content: what is there already stays as it is. A picture whose
path or external id belongs to another one is left out.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.catalog.collection_deletion import is_upload_of
from app.catalog.standing import new_image_rows
from app.database import database_identity
from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import Collection, VectorIndex
from app.feedback.ratings import fold
from app.index.categories.category_copies import follow_vectors
from app.index.vector_copy import copy_vectors
from app.runtime.dataset.tables import (
    IMAGES,
    JSON_KINDS,
    LABEL_SETS,
    LABELS,
    PAGES,
    QUERIES,
    RATINGS,
    Batch,
    DataTable,
    Kind,
)
from app.sources.interfaces import RECORD_SCHEME
from app.storage.disk import STORE_SCHEME
from app.understanding.labels import label_set_rows
from app.understanding.labels.label_set_rows import STORED_NUMBERS
from app.understanding.labels.labels import LabelSet
from app.understanding.labels.scoring import Scorer
from app.vectors import Vectors

TYPES: Mapping[Kind, str] = {
    **dict.fromkeys(("text", "hash"), "text"),
    **dict.fromkeys(JSON_KINDS, "jsonb"),
    "integer": "bigint",
    "number": "double precision",
    "moment": "timestamptz",
    "local": "timestamp",
}
MAX_SHOWN = 5  # pictures that were left out

IMPORTED_IDS = """
CREATE TEMPORARY TABLE imported_ids (
    source bigint PRIMARY KEY, image bigint NOT NULL, is_new boolean NOT NULL
) ON COMMIT DROP
"""
OWN = ", ".join(name for name in IMAGES.columns if name not in {"id", "sha256"})
ADD_IMAGES = f"""
WITH added AS (
    INSERT INTO images (collection_id, language, content_hash, {OWN})
    SELECT :collection, :language, decode(sha256, 'hex'), {OWN} FROM staged_images ORDER BY place
    ON CONFLICT DO NOTHING RETURNING id, path
)
SELECT DISTINCT ON (added.id) added.id, place FROM added JOIN staged_images USING (path)
ORDER BY added.id, place
"""  # noqa: S608  # all from IMAGES
NOTE_IDS = """
INSERT INTO imported_ids SELECT s.id, i.id, i.id = ANY(:added)
FROM staged_images s JOIN images i ON i.collection_id = :collection AND i.path = s.path
    AND i.content_hash = decode(s.sha256, 'hex') AND i.removed_at IS NULL
ON CONFLICT DO NOTHING RETURNING source
"""
LEFT_OUT = """
SELECT path FROM staged_images WHERE id NOT IN (SELECT source FROM imported_ids) ORDER BY place
"""
ADD_LABELS = """
INSERT INTO image_labels (image_id, set_id, label, probability, revision)
SELECT m.image, l.id, s.label, s.probability, l.revision FROM staged_labels s
JOIN imported_ids m ON m.source = s.image_id AND m.is_new
JOIN label_sets l ON l.name = s.label_set AND l.id = ANY(:sets)
ON CONFLICT DO NOTHING RETURNING image_id
"""
IDS_OF = "SELECT source, image FROM imported_ids WHERE source = ANY(:ids) AND (is_new OR :known)"


@dataclass
class Loading:
    """Writes batches into a collection; `counts` and `left_out` say what became of them."""

    session: Session
    collection: Collection
    index: VectorIndex
    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    other_sets: list[str] = field(default_factory=list)
    _sets: list[int] = field(default_factory=list)
    _stores: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Make the tables that the transaction works on."""
        self._stores = set(database_identity.store_folders(self.session))
        self.session.execute(text(IMPORTED_IDS))
        for table in (IMAGES, LABELS):
            columns = ", ".join(f"{name} {TYPES[kind]}" for name, kind in table.columns.items())
            place = "place integer NOT NULL, " if table is IMAGES else ""
            self.session.execute(
                text(f"CREATE TEMPORARY TABLE {_staged(table)} ({place}{columns}) ON COMMIT DROP")
            )

    def images(self, batch: Batch) -> None:
        """Add pictures with their vectors."""
        path = IMAGES.place("path")
        placed = ((*row[:path], self._placed(row[path]), *row[path + 1 :]) for row in batch.rows)
        self._stage(IMAGES, [(place, *row) for place, row in enumerate(placed)])
        values = {"collection": self.collection.id, "language": self.collection.language}
        added = self.session.execute(text(ADD_IMAGES), values).all()
        ids = [row.id for row in added]
        noted = self.session.execute(
            text(NOTE_IDS), {"added": ids, "collection": self.collection.id}
        )
        count = len(noted.all())
        if count < len(batch.rows):
            self.left_out += self.session.execute(text(LEFT_OUT)).scalars()
            self.left_out = self.left_out[:MAX_SHOWN]
        if batch.vectors is not None and ids:
            vectors = batch.vectors[[row.place for row in added]]
            copy_vectors(self.session, self.index, np.array(ids), vectors)
        new_image_rows.note(self.session, ids)
        self.counts["added"] += len(ids)
        self.counts["known"] += count - len(ids)
        self.counts["left out"] += len(batch.rows) - count

    def _placed(self, path: str) -> str:
        """Where the picture is here: not at another collection's upload, which goes with that."""
        store, _, name = path.removeprefix(STORE_SCHEME).partition("/")
        if not path.startswith(STORE_SCHEME) or store not in self._stores:
            return path
        if is_upload_of(self.collection, name):
            return path
        self.counts["without file"] += 1
        return RECORD_SCHEME + name

    def pages(self, batch: Batch) -> None:
        """Add the vectors of further pages of pictures that were just added."""
        found = self._ids([row[0] for row in batch.rows])
        chosen = [n for n, row in enumerate(batch.rows) if row[0] in found]
        if batch.vectors is None or not chosen or self.collection.pages != "all":
            return
        ids = np.array([found[batch.rows[n][0]] for n in chosen])
        regions = np.array([batch.rows[n][1] for n in chosen])
        copy_vectors(self.session, self.index, ids, batch.vectors[chosen], regions)

    def label_sets(self, batch: Batch) -> None:
        """Add label sets, with the vectors of their prompts; one of the same name stays."""
        known = label_set_rows.of_collection(self.session, self.collection.id)
        ours = {one.labels.name: one for one in known}
        for name, definition, logit_scale, prompts in batch.rows:
            labels = LabelSet.from_json(name, json.loads(definition))
            if name not in ours:
                stored, _ = label_set_rows.put(self.session, self.collection.id, labels)
                vectors = np.frombuffer(prompts, STORED_NUMBERS).astype(np.float32)
                scorer = Scorer(labels, vectors.reshape(-1, self.index.dimensions), logit_scale)
                space = self.index.fingerprint
                label_set_rows.keep_vectors(self.session, stored, scorer, space)
                self._sets.append(stored.id)
            elif ours[name].labels.tells_as(labels):
                self._sets.append(ours[name].id)
            else:
                self.other_sets.append(name)

    def labels(self, batch: Batch) -> None:
        """Add the labels of pictures that were just added."""
        self._stage(LABELS, batch.rows)
        added = self.session.execute(text(ADD_LABELS), {"sets": self._sets}).scalars().all()
        follow_vectors(self.session, self.index, sorted(set(added)))
        self.counts["labels"] += len(added)

    def queries(self, batch: Batch) -> None:
        """Add rated queries that are not known."""
        vectors: Iterable[Vectors] = () if batch.vectors is None else batch.vectors
        rows = [
            {
                "index_id": self.index.id,
                "digest": bytes.fromhex(digest),
                "query": query,
                "dimensions": self.index.dimensions,
                "embedding": vector,
                "created_at": created_at,
            }
            for (digest, query, created_at), vector in zip(batch.rows, vectors, strict=True)
        ]
        self.session.execute(upsert(feedback_queries).on_conflict_do_nothing(), rows)

    def ratings(self, batch: Batch) -> None:
        """Add ratings whose query and picture are there; one of the same answer and hit stays."""
        digests = {bytes.fromhex(row[0]) for row in batch.rows}
        query = select(feedback_queries.c.digest, feedback_queries.c.id).where(
            feedback_queries.c.index_id == self.index.id, feedback_queries.c.digest.in_(digests)
        )
        query = query.with_for_update(read=True, key_share=True)  # no withdrawal deletes them now
        queries = dict(self.session.execute(query).tuples().all())
        rated = [row[2] for row in batch.rows if row[2] is not None]
        ids = self._ids(rated, known=True)
        rows = [
            _rating(queries[bytes.fromhex(row[0])], row[2] and ids[row[2]], row)
            for row in batch.rows
            if bytes.fromhex(row[0]) in queries and (row[2] is None or row[2] in ids)
        ]
        if rows:
            add = upsert(feedback).on_conflict_do_nothing().returning(feedback.c.id)
            self.counts["ratings"] += len(self.session.execute(add, rows).all())

    def _ids(self, source_ids: list[int], *, known: bool = False) -> dict[int, int]:
        """The ids here of pictures that were just added, and with `known` of all."""
        values = {"ids": source_ids, "known": known}
        return dict(self.session.execute(text(IDS_OF), values).tuples().all())

    def _stage(self, table: DataTable, rows: Any) -> None:
        self.session.execute(text(f"TRUNCATE {_staged(table)}"))
        raw: Any = self.session.connection().connection.driver_connection
        with raw.cursor().copy(f"COPY {_staged(table)} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def _staged(table: DataTable) -> str:
    return f"staged_{table.name}"


def _rating(query_id: int, image_id: int | None, row: tuple[Any, ...]) -> dict[str, Any]:
    _, search, _, rating, comment, created_at, updated_at = row
    return {
        "query_id": query_id,
        "search": UUID(search),
        "image_id": image_id,
        "rating": rating,
        "comment": comment,
        "fold": fold(query_id, image_id),
        "created_at": created_at,
        "updated_at": updated_at,
    }


WRITERS: Mapping[str, Callable[[Loading, Batch], None]] = {
    IMAGES.name: Loading.images,
    PAGES.name: Loading.pages,
    LABEL_SETS.name: Loading.label_sets,
    LABELS.name: Loading.labels,
    QUERIES.name: Loading.queries,
    RATINGS.name: Loading.ratings,
}
"""What writes each table."""
