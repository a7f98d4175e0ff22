"""How a search reads an index: by codes in memory, through an HNSW graph, or exactly."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.database.query_plans import estimated_rows
from app.database.tables import VectorIndex
from app.index import vector_indexes
from app.index.categories import category_rows
from app.index.categories.category_rows import CategoryGraph, Within
from app.index.hnsw_search import GRID_ROWS, ROWS_PER_PICTURE, Condition, passing
from app.index.resident.resident_index import ResidentView
from app.index.resident.resident_search import first_candidates
from app.index.scan_settings import ef_search_for, prepare, rerank_depth
from app.index.search_method import is_searched_exactly

EXACT_ROWS = vector_indexes.EXACT_ROWS  # pictures that pass a filter
WHOLE_SHARE = 1 / GRID_ROWS  # of the rows, at least, where pictures have regions of the grid

Method = Literal["resident", "hnsw", "exact"]
"""By codes in memory, by the graph, or by comparing all that pass."""


@dataclass(frozen=True)
class Scan:
    """How an index is read, the same for all pages of an answer; cursors carry it.

    `candidates` is `ef_search`, or how many the codes propose for the first block; pictures are
    sorted `block` at a time, or ROWS_PER_PICTURE times as many rows where they have parts. `head`
    is the number of pictures that graph or codes returned, once they have ended. `few`: so few
    pictures pass the filter that their vectors are fetched by id. `gave_up`: the exact rest would
    have taken too long. `category`: the graph is that of a label, with this id.
    """

    method: Method
    candidates: int
    block: int
    head: int | None = None
    few: bool = False
    gave_up: bool = False
    category: int | None = None


def plan_scan(
    session: Session,
    index: VectorIndex,
    condition: Condition,
    limit: int,
    *,
    exact: bool = False,
    view: ResidentView | None = None,
    regions: bool = True,
    within: Within | None = None,
) -> Scan:
    """Choose how to read the index for pages of `limit` pictures.

    By the codes of what passes, `view`; without them by the graph of one of the labels that the
    condition demands, `within`, if there is one; exactly if few pass or the index is small.
    Without `regions` their rows are passed over.
    """
    share = 1.0
    if view is not None and not exact:
        first = first_candidates(index, limit + 1)  # `page` looks one further
        return Scan("resident", first, limit)
    if condition is not None:
        prepare(session)
        graph = category_rows.find(session, index, within) if within and not exact else None
        if graph is not None and within is not None and within.is_all:
            return _scan_of(index, graph, limit, share)
        if _count_passing(session, index, condition, EXACT_ROWS + 1) <= EXACT_ROWS:
            return Scan("exact", 0, limit, few=True)
        if graph is not None:
            expected = estimated_rows(session, passing(index, condition))
            return _scan_of(index, graph, limit, _share(expected, graph.vectors))
        share = _estimated_share(session, index, condition)
    if not regions:
        share *= WHOLE_SHARE
    if exact or is_searched_exactly(session, index):
        return Scan("exact", 0, limit)
    rows = limit * ROWS_PER_PICTURE if index.has_parts else limit
    return Scan("hnsw", ef_search_for(index, rows, share), rerank_depth(index, limit))


def _scan_of(index: VectorIndex, graph: CategoryGraph, limit: int, share: float) -> Scan:
    """By the graph of a label, of whose pictures this share passes."""
    candidates = ef_search_for(index, limit, share)
    return Scan("hnsw", candidates, rerank_depth(index, limit), category=graph.id)


def _count_passing(session: Session, index: VectorIndex, condition: Condition, most: int) -> int:
    """How many pictures pass; counting stops at `most`.

    The CTE makes the planner expect all of them to be read. It has no statistics on most metadata
    and assumes that a third passes; with the limit in sight it would scan the table, not an index.
    """
    found = passing(index, condition).cte("passing").prefix_with("MATERIALIZED")
    some = select(found.c.id).limit(most).subquery()
    return session.execute(select(func.count()).select_from(some)).scalar_one()


def _estimated_share(session: Session, index: VectorIndex, condition: Condition) -> float:
    """The share of pictures that the planner expects to pass: above 0, at most 1."""
    expected = estimated_rows(session, passing(index, condition))
    return _share(expected, estimated_rows(session, passing(index, None)))


def _share(part: float, whole: float) -> float:
    """Above 0, at most 1, whatever the planner expects."""
    return min(1.0, max(1.0, part) / max(1.0, whole))
