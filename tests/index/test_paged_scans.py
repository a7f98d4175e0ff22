"""How an index is read: recall through filters, pages without end, the exact rest."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.filters.filters import parse
from app.database import connections, migrating
from app.database.query_plans import explain
from app.database.tables import Storage, VectorIndex
from app.index import paged_scans, scan_plans, scan_settings, vector_indexes
from app.index.hnsw_search import Condition, Near, nearest_query
from app.index.paged_scans import IndexReader
from app.index.scan_plans import Scan, plan_scan
from app.index.scan_settings import prepare
from app.vectors import Vectors, VectorSpace, unit_halves, unit_rows
from tests.fixtures.generated_vectors import clip_like, copy_vectors, insert_images

COUNT = 10_000
DIMENSIONS = 128
QUERIES = 20
EXACT_ROWS = 200  # instead of 10,000, for a collection of this size
TWINS = 30  # pictures with the last one's vector
DEPTH = 2_000  # pictures that are paged through
FEWER = 5_000  # of other storages, whose graphs are built anew

Reals = NDArray[np.float64]
Mask = NDArray[np.bool_]
Values = Mapping[str, list[int]]


@dataclass(frozen=True)
class Loaded:
    """An index and what is in it: vectors, in double precision, and what filters ask for."""

    session: Session
    index: VectorIndex
    stored: Reals
    values: Values

    def passing(self, share: float, name: str = "n") -> Mask:
        return np.array(self.values[name]) < round(share * COUNT)

    def exact(self, query: Vectors, passing: Mask) -> list[int]:
        """All that pass, nearest first, of two as near the one with the lower id."""
        ids = np.flatnonzero(passing)
        asked = query.astype(np.float16).astype(np.float64)
        near = self.stored[ids] @ asked
        found: list[int] = (ids[np.lexsort((ids, -near.round(12)))] + 1).tolist()
        return found

    def read(
        self, query: Vectors, condition: Condition, start: int, stop: int, scan: Scan | None = None
    ) -> tuple[list[Near], Scan]:
        scan = scan or plan_scan(self.session, self.index, condition, stop - start)
        return IndexReader(self.session, self.index, query, condition).window(scan, start, stop)

    def pages(
        self, query: Vectors, condition: Condition, size: int, depth: int
    ) -> tuple[list[list[Near]], Scan]:
        """Page after page until one is short or so many pictures are read."""
        found: list[list[Near]] = []
        scan = plan_scan(self.session, self.index, condition, size)
        for start in range(0, depth, size):
            near, scan = self.read(query, condition, start, start + size, scan)
            found.append(near)
            if len(near) < size:
                break
        return found, scan


def below(share: float, name: str = "n") -> Condition:
    """The filter that this share of the pictures passes; of all of them none."""
    if share == 1:
        return None
    body = {f"metadata.{name}": {"lt": round(share * COUNT)}}
    return parse(body, {}).condition


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rows = clip_like(COUNT, DIMENSIONS, seed=1)
    rows[-TWINS:] = rows[-1]
    return rows


@pytest.fixture(scope="module")
def queries() -> Vectors:
    return clip_like(QUERIES, DIMENSIONS, seed=2)


@pytest.fixture(scope="module")
def filled(
    database_url: str, vectors: Vectors, queries: Vectors
) -> Iterator[tuple[connections.Sessions, VectorIndex, Values]]:
    """`n` is random, `far` ranks by the distance from the first query, the farthest first."""
    far = np.argsort(np.argsort(vectors @ queries[0])).tolist()
    values = {"n": np.random.default_rng(3).permutation(COUNT).tolist(), "far": far}
    entries = [json.dumps({"n": n, "far": far}) for n, far in zip(*values.values(), strict=True)]
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    sessions = connections.open_sessions(engine)
    with sessions.begin() as session:
        collection_id = collections.default(session).id
        space = VectorSpace("generated", "clip-like", "0" * 64, DIMENSIONS)
        index = vector_indexes.open_index(session, collection_id, space)
        insert_images(session, collection_id, entries)
        copy_vectors(session, index, vectors)
        vector_indexes.build_hnsw(session, index)
        session.execute(text("ANALYZE images"))
    yield sessions, index, values
    engine.dispose()


@pytest.fixture
def loaded(
    filled: tuple[connections.Sessions, VectorIndex, Values],
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Loaded]:
    """In a transaction that is rolled back."""
    for module in (scan_plans, vector_indexes):
        monkeypatch.setattr(module, "EXACT_ROWS", EXACT_ROWS)
    sessions, index, values = filled
    stored = unit_halves(vectors).astype(np.float64)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    with sessions() as session:
        yield Loaded(session, index, stored, values)
        session.rollback()


def ids_of(near: list[Near]) -> list[int]:
    return [image_id for image_id, _ in near]


def recall(
    loaded: Loaded, queries: Vectors, condition: Condition, passing: Mask
) -> tuple[float, set[str]]:
    """recall@10 and the methods of full answers."""
    found, wanted, methods = 0, 0, set[str]()
    for query in queries:
        near, scan = loaded.read(query, condition, 0, 10)
        exact = loaded.exact(query, passing)[:10]
        assert len({*ids_of(near)}) == len(near) == len(exact)
        found, wanted = found + len({*ids_of(near)} & {*exact}), wanted + len(exact)
        methods.add(scan.method)
    return found / wanted, methods


@pytest.mark.parametrize("deleted", [0, COUNT // 5])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.01, 0.001, 0.0001])
def test_recall_and_full_answers(
    loaded: Loaded, queries: Vectors, share: float, deleted: int
) -> None:
    gone = np.random.default_rng(4).permutation(COUNT)[:deleted]
    delete = text("DELETE FROM images WHERE id = ANY(:ids)")
    loaded.session.execute(delete, {"ids": (gone + 1).tolist()})
    passing = loaded.passing(share)
    passing[gone] = False
    found, methods = recall(loaded, queries, below(share), passing)
    assert found >= 0.95
    assert methods == {"hnsw" if share * (COUNT - deleted) > EXACT_ROWS else "exact"}


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
def test_full_answers_of_what_is_far_from_the_query(
    loaded: Loaded, queries: Vectors, share: float
) -> None:
    near = unit_rows(queries[:1] + 0.2 * queries[:5])
    found, _ = recall(loaded, near, below(share, "far"), loaded.passing(share, "far"))
    assert found >= 0.95


def test_what_is_out_of_the_graphs_reach_is_read_exactly_on_all_pages(
    loaded: Loaded, queries: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paged_scans, "REACH", 100)
    monkeypatch.setattr(paged_scans, "REACH_BLOCKS", 1)
    pages, scan = loaded.pages(queries[0], below(0.2, "far"), 50, 200)
    exact = loaded.exact(queries[0], loaded.passing(0.2, "far"))
    assert [one for page in pages for one in ids_of(page)] == exact[:200]
    assert scan.method == "exact"


@pytest.mark.parametrize("reach", [None, 5_000])
def test_the_plan_of_a_filtered_graph_query(
    loaded: Loaded, queries: Vectors, reach: int | None
) -> None:
    prepare(loaded.session, 400)
    query = nearest_query(loaded.index, queries[0], 10, 20, below(0.5), reach)
    plan = "\n".join(loaded.session.execute(explain(query)).scalars())
    assert f"Index Scan using {loaded.index.partition}_hnsw_idx" in plan
    assert plan.index("Nested Loop") < plan.index("_hnsw_idx") < plan.index("images_pkey")
    assert "Sort" not in plan


@pytest.mark.parametrize(("share", "size"), [(1.0, 10), (0.5, 100), (0.1, 10), (0.01, 100)])
def test_pages_neither_repeat_nor_skip(
    loaded: Loaded, queries: Vectors, share: float, size: int
) -> None:
    pages, _ = loaded.pages(queries[0], below(share), size, DEPTH)
    ids = [one for page in pages for one in ids_of(page)]
    wanted = min(DEPTH, round(share * COUNT))
    assert len({*ids}) == len(ids) == wanted
    exact = loaded.exact(queries[0], loaded.passing(share))[:wanted]
    assert len({*ids} & {*exact}) / wanted >= 0.95


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_pages_go_on_exactly_where_the_graph_ends(
    loaded: Loaded, queries: Vectors, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_settings, "MAX_SCAN_TUPLES", 1)
    pages, scan = loaded.pages(queries[0], below(share), 500, COUNT + 1)
    ids = [one for page in pages for one in ids_of(page)]
    exact = loaded.exact(queries[0], loaded.passing(share))
    assert sorted(ids) == sorted(exact)
    assert scan.head is not None
    assert 0 < scan.head < len(ids)
    assert ids[scan.head :] == [one for one in exact if one not in {*ids[: scan.head]}]


def test_reading_again_gives_the_same_and_blocks_ascend(loaded: Loaded, queries: Vectors) -> None:
    first, scan = loaded.pages(queries[1], below(0.5), 100, 1_000)
    assert scan.method == "hnsw"
    assert loaded.pages(queries[1], below(0.5), 100, 1_000)[0] == first
    assert all(page == sorted(page, key=lambda near: near[::-1]) for page in first)
    middle, _ = loaded.read(queries[1], below(0.5), 250, 420, scan)
    assert middle == [near for page in first for near in page][250:420]


@pytest.mark.parametrize("ef_search", [10, 400])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_page_is_in_order_of_distance(
    loaded: Loaded, queries: Vectors, ef_search: int, share: float
) -> None:
    """Issue 21, line 5: a relaxed scan is not in order, and Postgres took it to be."""
    tuned = replace(loaded, index=replace(loaded.index, ef_search=ef_search))
    for query in queries[:5]:
        scan = plan_scan(loaded.session, tuned.index, below(share), 10)
        near, _ = tuned.read(query, below(share), 0, 1_000, replace(scan, block=1_000))
        distances = [distance for _, distance in near]
        assert len(distances) == 1_000
        assert distances == sorted(distances)


@pytest.mark.parametrize("share", [1.0, 0.02])
def test_exact_is_exact_in_order_and_ties(loaded: Loaded, vectors: Vectors, share: float) -> None:
    query = vectors[-1]
    scan = plan_scan(loaded.session, loaded.index, below(share), 40, exact=True)
    assert scan.few == (share < 1)
    near, _ = loaded.read(query, below(share), 0, 40, scan)
    more, _ = loaded.read(query, below(share), 40, 80, scan)
    assert ids_of(near + more) == loaded.exact(query, loaded.passing(share))[:80]


@pytest.mark.parametrize(("storage", "floor"), [("vector", 0.97), ("bit", 0.9)])
def test_other_storages(
    loaded: Loaded, vectors: Vectors, queries: Vectors, storage: Storage, floor: float
) -> None:
    session, old = loaded.session, loaded.index
    vector_indexes.drop_index(session, old)
    index = vector_indexes.create_index(
        session, old.collection_id, old.space, vector_indexes.Shape(storage)
    )
    copy_vectors(session, index, vectors[:FEWER])
    vector_indexes.build_hnsw(session, index)
    other = replace(loaded, index=index)
    for share in (1.0, 0.5, 0.01):
        passing = loaded.passing(share) & (np.arange(COUNT) < FEWER)
        assert recall(other, queries, below(share), passing)[0] >= floor
    pages, _ = other.pages(queries[0], below(0.5), 300, DEPTH)
    ids = [one for page in pages for one in ids_of(page)]
    assert len({*ids}) == len(ids) >= DEPTH


def test_a_rest_that_takes_too_long_is_given_up(
    loaded: Loaded, queries: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_settings, "MAX_SCAN_TUPLES", 1)
    scan = plan_scan(loaded.session, loaded.index, None, 500)
    monkeypatch.setattr(IndexReader, "_exact", lambda *_: sleep(loaded.session))
    near, after = loaded.read(queries[0], None, 0, COUNT, scan)
    assert after.gave_up
    assert 0 < len({*ids_of(near)}) < COUNT
    assert after.head == len(near)
    assert loaded.session.execute(text("SELECT 1")).scalar_one() == 1  # the transaction goes on


def test_strays_are_better_than_a_first_page_that_takes_too_long(
    loaded: Loaded, queries: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paged_scans, "REACH", 2_000)
    monkeypatch.setattr(paged_scans, "REACH_BLOCKS", 1)
    monkeypatch.setattr(IndexReader, "_exact", lambda *_: sleep(loaded.session))
    near, scan = loaded.read(queries[0], below(0.9, "far"), 0, 1_500)
    assert scan.gave_up
    assert 0 < len(near) < 1_500


def sleep(session: Session) -> list[Near]:
    """As a statement that takes too long."""
    session.execute(text("SET LOCAL statement_timeout = 1"))
    session.execute(text("SELECT pg_sleep(10)"))
    return []


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_tombstones_pass_no_filter(loaded: Loaded, queries: Vectors, share: float) -> None:
    before, _ = loaded.read(queries[2], below(share), 0, 50)
    bury = text("UPDATE images SET removed_at = now() WHERE id = ANY(:ids)")
    loaded.session.execute(bury, {"ids": ids_of(before)})
    near, _ = loaded.read(queries[2], below(share), 0, 50)
    assert len(near) == 50
    assert not {*ids_of(near)} & {*ids_of(before)}
