"""Building and dropping the graphs of labels, while searches and uploads go on.

A search within a label compares its pictures one by one as long as they are few. With many it
would count them first, and then walk the graph of the whole index and pass over what has other
labels: thrice as long as a search of all, even where nearly all pictures have the label.
"""

import logging
import time
from collections.abc import Mapping
from functools import partial

from psycopg.errors import LockNotAvailable
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.index_builds import execute_outside
from app.database.locks import alone, retry_on_lock
from app.database.read_routing import engine_of
from app.database.tables import VectorIndex
from app.index import vector_indexes
from app.index.categories import category_copies, category_rows
from app.index.categories.category_rows import CategoryGraph, Key
from app.index.search_method import is_searched_exactly

log = logging.getLogger(__name__)

FEWEST = 1_500  # pictures with a label: fewer are compared in the time of a search of all
MAX_EF_CONSTRUCTION = 1_000  # pgvector's bound
FEWEST_KEPT = FEWEST // 2  # below that a graph is dropped again
MOST_GRAPHS = 20  # of an index, of the largest labels: the planner looks at each, for every search
CARE = 2  # times the index's ef_construction: finds more by as many candidates, built once
GROWTH = 1.5  # times what it was built of: then a graph is built anew, in shuffled order
BATCH = 1_000  # pictures copied in one transaction
ROUNDS = 5  # looks for pictures that are not copied yet, since others were changing them
PAUSE_SECONDS = 1.0  # between those
YIELD_MS = 200  # below deadlock_timeout: whoever changes pictures goes first
LOCK = "category graphs"


def maintain(sessions: Sessions, index: VectorIndex, *, may_build: bool) -> None:
    """Drop those graphs of an active index that are of no use, and build those that it should have.

    Not while another process does. Raises IndexGone.
    """
    with alone(sessions, LOCK) as is_alone:
        if not is_alone:
            return
        with sessions.begin() as session:
            graphs = category_rows.of_index(session, index)
            wanted = find_wanted(session, index, graphs)
            copies = category_copies.count_copies(session, graphs)
        kept = {graph.key: graph for graph in graphs if graph.ready and graph.key in wanted}
        for graph in graphs:
            if kept.get(graph.key) != graph:
                drop(sessions, graph)
            elif copies.get(graph.id, 0) != wanted[graph.key]:
                _complete(sessions, graph)
        if may_build:
            _build_lacking(sessions, index, wanted, kept)


def _build_lacking(
    sessions: Sessions,
    index: VectorIndex,
    wanted: Mapping[Key, int],
    kept: Mapping[Key, CategoryGraph],
) -> None:
    for key, count in wanted.items():
        known = kept.get(key)
        if known is not None and count <= GROWTH * known.vectors:
            continue
        if build(sessions, index, key, count) and known is not None:
            drop(sessions, known)


def drop_unused(sessions: Sessions) -> None:
    """Drop the graphs of indexes that are not active, and what deletions have left of others."""
    with alone(sessions, LOCK) as is_alone:
        if not is_alone:
            return
        with sessions.begin() as session:
            unused = category_rows.of_inactive(session)
            orphans = category_rows.orphans(session)
        for graph in unused:
            drop(sessions, graph)
        for name in orphans:
            _drop_index(sessions, name)


def find_wanted(
    session: Session, index: VectorIndex, graphs: list[CategoryGraph]
) -> Mapping[Key, int]:
    """The labels that should have a graph, and how many pictures have them, the largest first."""
    counted = {} if index.has_parts else category_rows.count_categories(session, index)
    if not counted or is_searched_exactly(session, index):
        return {}
    kept = {graph.key for graph in graphs if graph.ready}
    large = {
        key: count
        for key, count in counted.items()
        if count >= (FEWEST_KEPT if key in kept else FEWEST)
    }
    return dict(sorted(large.items(), key=lambda one: -one[1])[:MOST_GRAPHS])


def build(sessions: Sessions, index: VectorIndex, key: Key, count: int) -> bool:
    """Build the graph of a label that `count` pictures have; whether searches use it now.

    Not where its set has just changed, or others do not let go of what they are writing. Then the
    next maintenance drops what was begun. Neither searches nor writers wait, but for a moment at
    the beginning. Raises IndexGone.
    """
    graph = _registered(sessions, index, key, count)
    if graph is None or not _fill(sessions, graph):
        return False
    with sessions.begin() as session:
        session.execute(text("ANALYZE category_vectors"))
    expression = vector_indexes.HNSW_EXPRESSIONS[index.storage].format(index.dimensions)
    statement = (
        f"CREATE INDEX CONCURRENTLY {graph.name} ON category_vectors USING hnsw ({expression}) "
        f"WITH (m = {index.m}, ef_construction = {_care(index)}) "
        f"WHERE graph_id = {graph.id}"
    )
    execute_outside(engine_of(sessions), text(statement))
    if not _fill(sessions, graph):
        return False
    with sessions.begin() as session:
        category_rows.set_ready(session, graph.id, ready=True)
    log.info("the graph of %s pictures with the label %r was built", count, graph.label)
    return True


def _care(index: VectorIndex) -> int:
    """The `ef_construction` of its graphs of labels, which pgvector bounds."""
    return min(MAX_EF_CONSTRUCTION, CARE * index.ef_construction)


def _registered(
    sessions: Sessions, index: VectorIndex, key: Key, count: int
) -> CategoryGraph | None:
    try:
        return retry_on_lock(sessions, partial(_begin, index=index, key=key, count=count))
    except OperationalError as error:
        if isinstance(error.orig, LockNotAvailable):  # an import, say, writes for a long time
            return None
        raise


def _begin(session: Session, index: VectorIndex, key: Key, count: int) -> CategoryGraph | None:
    vector_indexes.require_present(session, index)
    if not category_rows.lock_set(session, key):
        return None
    return category_rows.register(session, index, key, count)


def _fill(sessions: Sessions, graph: CategoryGraph) -> bool:
    """Copy what it lacks; whether it lacks nothing then."""
    for number in range(ROUNDS):
        if number > 1:
            time.sleep(PAUSE_SECONDS)
        with sessions.begin() as session:
            ids = category_copies.lacking(session, graph)
        if not ids:
            return True
        for start in range(0, len(ids), BATCH):
            some = ids[start : start + BATCH]
            work = partial(category_copies.fill, graph=graph, image_ids=some)
            retry_on_lock(sessions, work, YIELD_MS)
    return False


def _complete(sessions: Sessions, graph: CategoryGraph) -> None:
    with sessions.begin() as session:
        category_copies.forget_others(session, graph)
    _fill(sessions, graph)


def drop(sessions: Sessions, graph: CategoryGraph) -> None:
    """Drop a graph, once no search uses it."""
    with sessions.begin() as session:
        category_rows.set_ready(session, graph.id, ready=False)
    _drop_index(sessions, graph.name)
    with sessions.begin() as session:
        category_rows.remove(session, graph.id)
    log.info("the graph of the label %r was dropped", graph.label)


def _drop_index(sessions: Sessions, name: str) -> None:
    execute_outside(engine_of(sessions), text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
