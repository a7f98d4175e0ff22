"""Explains why a picture is, or is not, among the results of a text search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from sqlalchemy import BigInteger, Double, func, literal, select, tuple_
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from app.catalog.filters.field_names import UNSTORABLE
from app.catalog.filters.filters import Filter, parse
from app.catalog.images.image_rows import get_images
from app.database.connections import Sessions
from app.database.tables import (
    PRESENT,
    Collection,
    VectorIndex,
    embeddings,
    images,
)
from app.index.distances import get_distances
from app.index.hnsw_search import NOT_DELETED, Condition, typed
from app.index.paged_scans import IndexReader
from app.index.resident.resident_index import ResidentIndex
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.scan_plans import plan_scan
from app.index.scan_settings import prepare
from app.index.statistics import IndexStatistics
from app.search.explanation.targets import Target, find_image, find_refusal
from app.search.queries.query_encoding import QueryEncoder
from app.search.queries.query_terms import Term
from app.search.search_request import DEFAULT_LIMIT
from app.vectors import Vectors

MAX_RANK = 1_000  # results searched for the picture: the largest page

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
"""If several causes apply, the last one in this list is reported."""


@dataclass(frozen=True)
class Explanation:
    """Where a picture ranks, or why it does not; ranks start at 1 and are None if unranked.

    `distance` is the cosine distance. `exact_rank` is the rank among the pictures that pass the
    filter, or among all pictures if this one does not pass. `approximate_rank` is its rank among
    the first MAX_RANK results of an ordinary search. `removed_by` lists the JSON paths of the
    filter clauses that it fails. `reason` says why job `job_id` rejected its newest version.
    `collection` (namespace/name) is set if the picture belongs to another collection.
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
        """The explanation in plain English."""
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
            "missed": f"It would be number {self.exact_rank} of the exact answer, but an "
            "approximate search did not find it: an exact one does, and a higher recall may.",
            "too_far": f"{nearer:,} pictures are nearer; the first {MAX_RANK:,} of an answer are "
            "looked at.",
            "filtered": f"The filter removes it: it does not pass {clauses}. Without the filter "
            f"it would be number {self.exact_rank} of the exact answer.",
            "no_vector": "It has no vector yet: only its words can be found."
            + (f" Nor does it pass {clauses}." if clauses else ""),
            "other_collection": f"It is in another collection: {self.collection}.",
            "refused": f"Job {self.job_id} refused it: {self.reason}",
            "removed": "It was deleted and is no longer in any answer.",
            "unknown": "No picture has this id, path or name, and no file of that name was "
            "refused.",
        }
        return sentences[self.cause]


@dataclass(frozen=True)
class Explainer:
    """Explains the results of one index. The model is never called inside a transaction."""

    sessions: Sessions
    queries: QueryEncoder
    statistics: IndexStatistics
    index: VectorIndex
    resident_indexes: ResidentIndexes

    def explain(
        self, collection: Collection, text: str, target: Target, filter_body: Mapping[str, Any]
    ) -> Explanation:
        """Explain where one picture ranks when searching for `text`.

        Statements have the same timeout as those of a search. Raises QueryRejected, FilterRejected.
        """
        where = parse(filter_body, collection.filterable)
        query = self.queries.encode([Term(text=text)])
        with self.sessions.begin() as session:
            prepare(session)
            found = find_image(session, collection, target)
            if found is None:
                return _explain_missing(session, collection.id, target)
            if found.removed:
                explanation = Explanation("removed")
            elif found.collection_id != collection.id:
                explanation = Explanation("other_collection", collection=found.collection)
            else:
                condition = where.condition if filter_body else None
                resident = self.resident_indexes.of(self.index)
                explained = _ExplainedQuery(
                    session, self.index, query.vector, where, condition, resident
                )
                explanation = explained.explain(found.id)
            original_distance = get_distances(session, self.index, query.original, [found.id]).get(
                found.id
            )
            refusal = None
            if found.collection_id == collection.id:
                prepare(session)  # the graph scan has restricted the planner
                refusal = find_refusal(session, collection.id, found.path)
        return replace(
            explanation,
            image_id=found.id,
            path=found.name,
            confidence=None
            if explanation.distance is None
            else self._confidence(query.original, original_distance),
            reason=refusal.reason if refusal else None,
            job_id=refusal.job_id if refusal else None,
        )

    def _confidence(self, vector: Vectors, distance: float | None) -> float | None:
        """As in search results; None until the null distribution has been measured."""
        null = self.statistics.null_distribution()
        if null is None or distance is None:
            return None
        return float(null.confidence(vector, np.array([1 - distance], np.float32))[0])


@dataclass(frozen=True)
class _ExplainedQuery:
    """A query on an index, within the caller's transaction."""

    session: Session
    index: VectorIndex
    vector: Vectors
    where: Filter
    condition: Condition
    resident: ResidentIndex | None

    def explain(self, image_id: int) -> Explanation:
        """Explain a picture of the index's collection."""
        removed_by = self._removed_by(image_id)
        distance = get_distances(self.session, self.index, self.vector, [image_id]).get(image_id)
        if distance is None:
            return Explanation("no_vector", removed_by=removed_by)
        rank = self._exact_rank(image_id, distance, None if removed_by else self.condition)
        if removed_by:
            return Explanation(
                "filtered", distance=distance, exact_rank=rank, removed_by=removed_by
            )
        rank_found = self._approximate_rank(image_id)
        cause: Cause = "found" if rank_found else "missed" if rank <= MAX_RANK else "too_far"
        return Explanation(cause, distance=distance, exact_rank=rank, approximate_rank=rank_found)

    def _removed_by(self, image_id: int) -> tuple[str, ...]:
        """The JSON paths of the filter clauses that it fails."""
        clauses = self.where.clauses
        if not clauses:
            return ()
        query = select(*(passes for _, passes in clauses)).where(images.c.id == image_id)
        row = self.session.execute(query).one()
        pairs = zip(clauses, row, strict=True)
        return tuple(path for (path, _), passes in pairs if not passes)

    def _exact_rank(self, image_id: int, distance: float, condition: Condition) -> int:
        """Its rank among the pictures that pass, ordered like results: by distance, then id."""
        stored = typed(self.index, self.index.column)
        other_distance = stored.cosine_distance(sql_cast(self.vector, stored.type))
        own = tuple_(literal(distance, Double()), literal(image_id, BigInteger()))
        number = (
            func.count(embeddings.c.image_id.distinct()) if self.index.has_parts else func.count()
        )
        query = select(number).where(
            embeddings.c.index_id == self.index.id,
            embeddings.c.image_id != image_id,
            tuple_(other_distance, embeddings.c.image_id) < own,
        )
        if condition is None:
            query = query.where(NOT_DELETED)
        else:
            passing = select(images.c.id).where(PRESENT, condition)
            passing = passing.where(images.c.collection_id == self.index.collection_id)
            query = query.where(embeddings.c.image_id.in_(passing))
        return self.session.execute(query).scalar_one() + 1

    def _approximate_rank(self, image_id: int) -> int | None:
        """Its rank in a search with the default page size, paged up to MAX_RANK."""
        session, index, condition = self.session, self.index, self.condition
        view = self.resident.view(session, condition) if self.resident else None
        within = self.where.within
        scan = plan_scan(session, index, condition, DEFAULT_LIMIT, view=view, within=within)
        reader = IndexReader(session, index, self.vector, condition, view=view)
        _, scan = reader.window(scan, 0, DEFAULT_LIMIT)  # further pages continue this scan
        near, _ = reader.window(replace(scan, block=MAX_RANK), 0, MAX_RANK)
        present = get_images(self.session, [other_id for other_id, _ in near])
        ids = [other_id for other_id, _ in near if other_id in present]
        return ids.index(image_id) + 1 if image_id in ids else None


def _explain_missing(session: Session, collection_id: int, target: Target) -> Explanation:
    """Explain a target that has no row."""
    if isinstance(target, int) or UNSTORABLE.search(target):
        return Explanation("unknown")
    refusal = find_refusal(session, collection_id, target)
    if refusal is None:
        return Explanation("unknown")
    return Explanation("refused", path=target, reason=refusal.reason, job_id=refusal.job_id)
