"""Searches by codes: candidates from memory, ranked by their vectors in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Engine,
    RowMapping,
    Select,
    any_,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.orm import Session

from app.database.answer_cache import NEVER_CURRENT, Found
from app.database.connections import Sessions
from app.database.pipelines import Row, Statement, fetch_together
from app.database.read_routing import engine_of
from app.database.sent_vectors import SentVector
from app.database.tables import Image, VectorIndex, embeddings
from app.index.hnsw_search import (
    CACHED_STATEMENTS,
    NOT_DELETED,
    ROWS_PER_PICTURE,
    Near,
    Neighbour,
    nearest_part,
    typed,
    with_pictures,
)
from app.index.resident.changes import Changes, changed_statement, read_changes
from app.index.resident.resident_index import (
    MOST_CHANGES,
    Candidates,
    ResidentIndex,
    ResidentView,
)
from app.index.scan_settings import settings_for
from app.vectors import Vectors

CANDIDATES_PER_HIT = 2  # codes confuse only what differs by less than 0.001 in cosine
MIN_CANDIDATES = 50
MAX_CANDIDATES = 6_400  # ranking them takes Postgres about 40 ms


def first_candidates(index: VectorIndex, limit: int) -> int:
    """How many codes to choose candidates by, for the first `limit` pictures."""
    count = max(MIN_CANDIDATES, CANDIDATES_PER_HIT * limit)
    return count * ROWS_PER_PICTURE if index.has_parts else count


def find_nearest_resident(
    sessions: Sessions, resident: ResidentIndex, vector: Vectors, limit: int
) -> Found[Sequence[Neighbour]] | None:
    """The `limit` pictures nearest to `vector`, shape (dimensions,), nearest first.

    One round trip if nothing was written since the last search: candidates are chosen by the codes
    as they are, and Postgres tells what they lack together with the ranking. If they lack
    something, once more. None if that is too much, or if too many candidates were deleted.
    """
    engine = engine_of(sessions)
    count, most, is_current = first_candidates(resident.index, limit), limit, False
    while count <= MAX_CANDIDATES:
        view = resident.held()
        if view is None:
            return None
        candidates = view.candidates(vector, count)
        changes, rows = _changes_and_ranking(engine, view, vector, candidates, most)
        followed = resident.follow(view, changes)
        changes = changes.without(view.taken)
        if len(changes.ids) and not is_current:
            is_current = followed
            continue
        nearest: dict[int, Neighbour] = {}
        for row in rows[: _told(rows, candidates)]:
            nearest.setdefault(row["id"], Neighbour(Image.of(row), row["distance"]))
        if len(nearest) >= limit or (candidates.is_all and len(rows) < most):
            # What was written during the search is not in the answer.
            snapshot = NEVER_CURRENT if len(changes.ids) else changes.snapshot
            return Found(snapshot, list(nearest.values())[:limit])
        count, most = count * CANDIDATES_PER_HIT, most * CANDIDATES_PER_HIT
    return None


def _changes_and_ranking(
    engine: Engine, view: ResidentView, vector: Vectors, candidates: Candidates, most: int
) -> tuple[Changes, Sequence[Row]]:
    """What was written since the view, then the `most` nearest of the candidates that are left."""
    values = {"vector": vector, "ids": candidates.ids.tolist(), "most": most}
    _, changed, rows = fetch_together(
        engine,
        [
            settings_for(None),
            changed_statement(view.index, view.snapshot, MOST_CHANGES + 1),
            Statement(_neighbours(view.index), values),
        ],
    )
    return read_changes(view.index, changed), rows


def _told(rows: Sequence[Row] | Sequence[RowMapping], candidates: Candidates) -> int:
    """How many of the ranked `rows` of candidates are surely the nearest, in their order.

    Only those that are left count: those that were deleted took the places of others.
    """
    if candidates.is_all or not rows:
        return len(rows)
    left: int = rows[0]["found"]
    return left // CANDIDATES_PER_HIT


@dataclass(frozen=True)
class Ranked:
    """Pictures, nearest first; `is_all`: none that pass and have a vector are missing."""

    near: list[Near]
    is_all: bool


def rank_candidates(
    session: Session,
    view: ResidentView,
    vector: Vectors,
    stop: int,
    first: int,
    without: int | None = None,
) -> Ranked:
    """The pictures at ranks 0 to `stop`, or fewer if candidates end.

    The order is the same whatever `stop` is: the ranks up to half of the first `first` candidates
    that are left come from these, then up to half of twice as many. Without the picture `without`.
    """
    ranked: dict[int, float] = {}
    is_all = False
    count = first
    while len(ranked) < stop and count <= MAX_CANDIDATES and not is_all:
        candidates = view.candidates(vector, count)
        is_all = candidates.is_all
        values = {"vector": vector, "ids": candidates.ids.tolist()}
        rows = session.execute(_ranked(view.index), values).mappings().all()
        for row in rows[: _told(rows, candidates)]:
            if row["image_id"] != without:
                ranked.setdefault(row["image_id"], row["distance"])
        count *= CANDIDATES_PER_HIT
    return Ranked(list(ranked.items())[:stop], is_all and len(ranked) <= stop)


@lru_cache(maxsize=CACHED_STATEMENTS)
def _ranked(index: VectorIndex) -> Select[tuple[int, float, int]]:
    """The candidates that are left, nearest first, and in each row how many there are."""
    stored = typed(index, index.column)
    asked = cast(bindparam("vector", type_=SentVector()), stored.type)
    distance = nearest_part(index, stored.cosine_distance(asked))
    ids = cast(bindparam("ids"), ARRAY(BigInteger))
    found = func.count().over().label("found")
    query = select(embeddings.c.image_id, distance.label("distance"), found).where(
        embeddings.c.index_id == index.id, NOT_DELETED, embeddings.c.image_id == any_(ids)
    )
    if index.has_parts:
        query = query.group_by(embeddings.c.image_id)
    # Plus 0, so that the planner cannot use the graph, whose order is approximate.
    return query.order_by(distance + 0, embeddings.c.image_id)


@lru_cache(maxsize=CACHED_STATEMENTS)
def _neighbours(index: VectorIndex) -> Select[Any]:
    return with_pictures(_ranked(index).limit(bindparam("most")))
