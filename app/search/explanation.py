"""Why a picture is in the answer to a text, or is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from sqlalchemy import BigInteger, ColumnElement, Double, func, literal, select, tuple_
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from app.catalog import upload_rows
from app.catalog.fields import MAX_BIGINT, UNSTORABLE
from app.catalog.filters import Filter, parse
from app.catalog.image_rows import get_images
from app.database.connections import Sessions
from app.database.tables import (
    PRESENT,
    Collection,
    VectorIndex,
    collections,
    embeddings,
    images,
    job_items,
    jobs,
)
from app.index.hnsw_search import Condition, get_distances, prepare, typed
from app.index.paged_scans import IndexReader, plan_scan
from app.index.statistics import IndexStatistics
from app.search.query_encoding import QueryEncoder, Term
from app.search.search_request import DEFAULT_LIMIT
from app.vectors import Vectors

DEPTH = 1_000  # places of an answer that are looked at: as many as one page may show

Cause = Literal[
    "found",
    "missed",
    "too_far",
    "filtered",
    "no_vector",
    "other_collection",
    "refused",
    "removed",
    "unknown",
]
"""Of several that hold, the one that is named last here."""

Target = int | str
"""The id of a picture, or its path or the name it was sent under."""


@dataclass(frozen=True)
class Explanation:
    """What became of a picture; ranks begin at 1, and are None where it has none.

    `distance` is the cosine distance. `exact_rank` counts the pictures that pass the filter; of a
    picture that does not pass, it is the rank without the filter. `approximate_rank` is its place
    among the first DEPTH that a search gives. `removed_by` are the places of the filter's clauses
    that it does not pass. `reason` is why its newest version was refused, by the job `job_id`.
    `collection` (namespace/name) is set where the picture is in another one.
    """

    cause: Cause
    image_id: int | None = None
    path: str | None = None
    distance: float | None = None
    confidence: float | None = None
    exact_rank: int | None = None
    approximate_rank: int | None = None
    removed_by: Sequence[str] = ()
    reason: str | None = None
    job_id: int | None = None
    collection: str | None = None

    @property
    def score(self) -> float | None:
        """The cosine similarity, −1 to 1."""
        return None if self.distance is None else 1 - self.distance

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        if self.reason is None or self.cause == "refused":
            return self._first_sentence()
        return (
            f"{self._first_sentence()} Its newest version was refused by job {self.job_id}: "
            f"{self.reason}"
        )

    def _first_sentence(self) -> str:
        clauses = ", ".join(self.removed_by)
        nearer = (self.exact_rank or 1) - 1
        sentences: dict[Cause, str] = {
            "found": f"It is number {self.approximate_rank} of the answer.",
            "missed": f"It would be number {self.exact_rank} of the exact answer, but the graph "
            "did not lead to it: an exact search finds it, and more recall may.",
            "too_far": f"{nearer:,} pictures are nearer; the first {DEPTH:,} of an answer are "
            "looked at.",
            "filtered": f"The filter removes it: it does not pass {clauses}. Without the filter "
            f"it would be number {self.exact_rank} of the exact answer.",
            "no_vector": "It has no vector yet: only its words can be found."
            + (f" Nor does it pass {clauses}." if clauses else ""),
            "other_collection": f"It is in another collection: {self.collection}.",
            "refused": f"Job {self.job_id} refused it: {self.reason}",
            "removed": "It was removed, and is in no answer any more.",
            "unknown": "No picture has this id, path or name, and no file of that name was "
            "refused.",
        }
        return sentences[self.cause]


@dataclass(frozen=True)
class Explainer:
    """Explains answers by the vectors of one index. The model is never called in a transaction."""

    sessions: Sessions
    queries: QueryEncoder
    statistics: IndexStatistics
    index: VectorIndex

    def explain(
        self, collection: Collection, text: str, target: Target, filter_body: Mapping[str, Any]
    ) -> Explanation:
        """What becomes of one picture when `text` is asked. Raises QueryRejected, FilterRejected.

        Each statement is bounded as those of a search are.
        """
        where = parse(filter_body, collection.fields)
        query = self.queries.encode([Term(text=text)])
        with self.sessions.begin() as session:
            prepare(session)
            known = _find(session, collection, target)
            if known is None:
                return _of_unknown(session, collection.id, target)
            if known.removed:
                told = Explanation("removed")
            elif known.collection_id != collection.id:
                told = Explanation("other_collection", collection=known.collection)
            else:
                condition = where.condition if filter_body else None
                asked = _Asked(session, self.index, query.vector, where, condition)
                told = asked.explanation(known.id)
            plain = get_distances(session, self.index, query.plain, [known.id]).get(known.id)
            refusal = None
            if known.collection_id == collection.id:
                prepare(session)  # after a walk of the graph the planner is not free
                refusal = _find_refusal(session, collection.id, known.path)
        return replace(
            told,
            image_id=known.id,
            path=known.path,
            confidence=None if told.distance is None else self._confidence(query.plain, plain),
            reason=refusal.reason if refusal else None,
            job_id=refusal.job_id if refusal else None,
        )

    def _confidence(self, vector: Vectors, distance: float | None) -> float | None:
        """Of the query as asked, as in answers; None until the null distribution was measured."""
        null = self.statistics.null_distribution()
        if null is None or distance is None:
            return None
        return float(null.confidence(vector, np.array([1 - distance], np.float32))[0])


@dataclass(frozen=True)
class _Asked:
    """A query to an index, within the caller's transaction."""

    session: Session
    index: VectorIndex
    vector: Vectors
    where: Filter
    condition: Condition

    def explanation(self, image_id: int) -> Explanation:
        """Of a picture that is in the index's collection."""
        removed_by = self._removed_by(image_id)
        far = get_distances(self.session, self.index, self.vector, [image_id]).get(image_id)
        if far is None:
            return Explanation("no_vector", removed_by=removed_by)
        rank = self._exact_rank(image_id, far, None if removed_by else self.condition)
        if removed_by:
            return Explanation("filtered", distance=far, exact_rank=rank, removed_by=removed_by)
        place = self._approximate_rank(image_id)
        cause: Cause = "found" if place else "missed" if rank <= DEPTH else "too_far"
        return Explanation(cause, distance=far, exact_rank=rank, approximate_rank=place)

    def _removed_by(self, image_id: int) -> tuple[str, ...]:
        """The places of the clauses that it does not pass."""
        clauses = self.where.clauses
        if not clauses:
            return ()
        query = select(*(passes for _, passes in clauses)).where(images.c.id == image_id)
        row = self.session.execute(query).one()
        pairs = zip(clauses, row, strict=True)
        return tuple(place for (place, _), passes in pairs if not passes)

    def _exact_rank(self, image_id: int, far: float, condition: Condition) -> int:
        """Its rank among the pictures that pass: by distance, then by id, as answers are sorted."""
        stored = typed(self.index, self.index.column)
        distance = stored.cosine_distance(sql_cast(self.vector, stored.type))
        own = tuple_(literal(far, Double()), literal(image_id, BigInteger()))
        query = select(func.count()).where(
            embeddings.c.index_id == self.index.id,
            embeddings.c.region == 0,
            tuple_(distance, embeddings.c.image_id) < own,
        )
        if condition is None:  # tombstones are few: no need to look at all pictures
            query = query.where(embeddings.c.image_id.not_in(select(images.c.id).where(~PRESENT)))
        else:
            passing = select(images.c.id).where(PRESENT, condition)
            passing = passing.where(images.c.collection_id == self.index.collection_id)
            query = query.where(embeddings.c.image_id.in_(passing))
        return self.session.execute(query).scalar_one() + 1

    def _approximate_rank(self, image_id: int) -> int | None:
        """Its place in what a search of usual length gives, read to DEPTH; tombstones left out."""
        scan = plan_scan(self.session, self.index, self.condition, DEFAULT_LIMIT)
        reading = IndexReader(self.session, self.index, self.vector, self.condition)
        _, scan = reading.window(scan, 0, DEFAULT_LIMIT)  # what all further pages go on with
        near, _ = reading.window(replace(scan, block=DEPTH), 0, DEPTH)
        ids = [one for one, _ in near]
        there = get_images(self.session, ids)
        ids = [one for one in ids if one in there]
        return ids.index(image_id) + 1 if image_id in ids else None


@dataclass(frozen=True)
class _Known:
    """A picture that has a row; `removed` if a tombstone too. `collection` is namespace/name."""

    id: int
    path: str
    collection_id: int
    collection: str
    removed: bool


def _find(session: Session, collection: Collection, target: Target) -> _Known | None:
    """By its id; by its path here, or else the name it was sent under; by its path elsewhere.

    In the collection's own namespace: of others nothing is told. A file that this collection has
    refused is none of another.
    """
    own = collections.c.namespace == collection.namespace
    if isinstance(target, int):
        return _one(session, own, images.c.id == target) if 0 < target <= MAX_BIGINT else None
    if UNSTORABLE.search(target):
        return None
    here = images.c.collection_id == collection.id
    is_at_target = images.c.path.in_(upload_rows.possible_paths(session, target))
    known = _one(session, here, is_at_target)
    known = known or _one(session, here, images.c.origin == target)
    if known is not None or _find_refusal(session, collection.id, target):
        return known
    return _one(session, own, is_at_target, PRESENT)


def _one(session: Session, *where: ColumnElement[bool]) -> _Known | None:
    """One without a tombstone if there is one, of those the newest."""
    removed = (~PRESENT).label("removed")
    name = collections.c.namespace.concat("/").concat(collections.c.name).label("collection")
    path = func.shown_path(images.c.path).label("path")
    query = select(images.c.id, path, images.c.collection_id, name, removed)
    query = query.join(collections, collections.c.id == images.c.collection_id).where(*where)
    rows = session.execute(query.order_by(removed, images.c.id.desc()).limit(1)).mappings()
    return next((_Known(**row) for row in rows), None)


@dataclass(frozen=True)
class _Refusal:
    """Why a job has refused a file."""

    job_id: int
    reason: str


def _find_refusal(session: Session, collection_id: int, path: str) -> _Refusal | None:
    """What the newest job that has read this file or name says, if it has refused it."""
    read = (
        select(job_items.c.id, job_items.c.job_id, job_items.c.reason)
        .join(jobs, jobs.c.id == job_items.c.job_id)
        .where(jobs.c.collection_id == collection_id, ~jobs.c.dry_run)
        .where(job_items.c.path == path, ~job_items.c.removal)
    )
    # Plus 0, so that the planner does not walk all items from the newest on.
    newest = read.order_by((job_items.c.id + 0).desc()).limit(1)
    row = session.execute(newest.where(job_items.c.state == "failed")).first()
    if row is None:
        return None
    later = read.where(job_items.c.id > row.id, job_items.c.state.in_(("succeeded", "skipped")))
    accepted = session.execute(later.limit(1)).first() is not None
    return None if accepted else _Refusal(row.job_id, row.reason or "")


def _of_unknown(session: Session, collection_id: int, target: Target) -> Explanation:
    """Of what has no row."""
    if isinstance(target, int) or UNSTORABLE.search(target):
        return Explanation("unknown")
    refusal = _find_refusal(session, collection_id, target)
    if refusal is None:
        return Explanation("unknown")
    return Explanation("refused", path=target, reason=refusal.reason, job_id=refusal.job_id)
