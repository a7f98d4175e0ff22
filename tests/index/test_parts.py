"""Pictures with several vectors: each has the place of its nearest, however the index is read."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.catalog.filters.filters import parse
from app.database import connections, migrating
from app.database.connections import Sessions
from app.database.tables import Storage, VectorIndex
from app.index import graph_health, regions, scan_plans, vector_indexes
from app.index.distances import Part, get_nearest_parts
from app.index.exact_search import exact_neighbours
from app.index.hnsw_search import GRID_ROWS, Condition, find_nearest
from app.index.near_pairs import find_neighbour_pairs
from app.index.paged_scans import IndexReader
from app.index.regions import FIRST_REGION, Region
from app.index.resident.resident_index import ResidentIndex
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.resident.resident_search import find_nearest_resident
from app.index.scan_plans import plan_scan
from app.index.vector_indexes import Shape
from app.understanding.regions.grid import grid_boxes
from app.vectors import Vectors, VectorSpace, unit_halves, unit_rows
from tests.fixtures.generated_vectors import clip_like, copy_vectors, insert_images

COUNT = 600
PARTS = 6  # regions of a picture
DIMENSIONS = 64
K = 10
QUERIES = clip_like(20, DIMENSIONS, seed=8)
EVEN = parse({"metadata.even": {"eq": True}}, {}).condition
EVERY: Condition = None


@dataclass(frozen=True)
class Library:
    """An index, its codes in memory, and the cosine of each query and picture, (queries, n)."""

    sessions: Sessions
    index: VectorIndex
    resident: ResidentIndex
    first: int
    best: NDArray[np.float32]
    of_wholes: NDArray[np.float32]

    def expected(self, n: int, *, even: bool = False, whole: bool = False) -> list[int]:
        """All that pass, nearest first."""
        scores = (self.of_wholes if whole else self.best)[n].copy()
        if even:
            scores[::2] = -2
        order = np.argsort(-scores, kind="stable")[: COUNT // 2 if even else COUNT]
        return [self.first + int(place) for place in order]


def box(number: int) -> tuple[float, float, float, float]:
    return (0.1 * number, 0.25, 0.25, 0.5)


@pytest.fixture(scope="module", params=["halfvec", "bit"])
def library(request: pytest.FixtureRequest, database_url: str) -> Iterator[Library]:
    """Every other picture is even; regions are near their picture, and to each other."""
    wholes = clip_like(COUNT, DIMENSIONS, seed=5)
    noise = np.random.default_rng(6).standard_normal((COUNT, PARTS, DIMENSIONS), np.float32)
    parts = wholes[:, np.newaxis] + 0.09 * noise
    parts /= np.linalg.norm(parts, axis=2, keepdims=True)
    scores = _cosines(np.concatenate([wholes[:, np.newaxis], parts], 1))
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    sessions = connections.open_sessions(engine)
    with sessions.begin() as session:
        index, first = _filled(session, request.param, wholes, parts)
    with ThreadPoolExecutor(1) as threads:
        indexes = ResidentIndexes(sessions, 10**8, threads, threading.Event(), min_vectors=100)
        indexes.of(index)
        threads.submit(int).result()
        resident = indexes.of(index)
        assert resident is not None
        yield Library(sessions, index, resident, first, scores.max(axis=2), scores[:, :, 0])
    engine.dispose()


def _cosines(vectors: Vectors) -> NDArray[np.float32]:
    """Of each query and vector as stored, (queries, pictures, vectors of each)."""
    stored = unit_halves(vectors.reshape(-1, DIMENSIONS)).astype(np.float32)
    asked = unit_rows(QUERIES.astype(np.float16).astype(np.float32))
    found: NDArray[np.float32] = (asked @ stored.T).reshape(len(QUERIES), COUNT, 1 + PARTS)
    return found


def _filled(
    session: Session, storage: Storage, wholes: Vectors, parts: Vectors
) -> tuple[VectorIndex, int]:
    """A collection's index with its graph, and the id of its first picture."""
    made = collections.create(session, NewCollection("", storage, "english", {}))
    turned_on = "INSERT INTO collection_annotators (collection_id, annotator) VALUES (:id, 'grid')"
    session.execute(text(turned_on), {"id": made.id})
    space = VectorSpace("generated", storage, "0" * 64, DIMENSIONS)
    index = vector_indexes.create_index(session, made.id, space, Shape(storage))
    insert_images(session, made.id, ['{"even": false}', '{"even": true}'] * (COUNT // 2))
    query = text("SELECT min(id) FROM images WHERE collection_id = :id")
    first: int = session.execute(query, {"id": made.id}).scalar_one()
    copy_vectors(session, index, wholes, first)
    for n, own in enumerate(parts):
        found = [Region(box(number), row) for number, row in enumerate(own)]
        regions.replace(session, index, first + n, found)
    vector_indexes.build_hnsw(session, index)
    return index, first


def pages(
    library: Library, n: int, condition: Condition, *, size: int, depth: int, **how: bool
) -> list[int]:
    """The pictures of page after page, read as a search reads them; the method is of the first."""
    found: list[int] = []
    with library.sessions.begin() as session:
        view = library.resident.view(session, condition) if how.pop("codes", False) else None
        whole, exact = how.get("whole", False), how.get("exact", False)
        scan = plan_scan(
            session, library.index, condition, size, view=view, regions=not whole, exact=exact
        )
        reader = IndexReader(
            session, library.index, QUERIES[n], condition, view=view, regions=not whole
        )
        for start in range(0, depth, size):
            if scan.block == size:
                near, more, scan = reader.page(scan, start)
            else:  # a graph whose rows are re-ranked
                near, scan = reader.window(scan, start, start + size + 1)
                more = len(near) > size
            found += [image_id for image_id, _ in near[:size]]
            if not more:
                break
    return found


@pytest.mark.parametrize("condition", [EVERY, EVEN], ids=["all", "even"])
@pytest.mark.parametrize("how", [{"exact": True}, {"codes": True}, {}])
@pytest.mark.usefixtures("search_by_graph")
def test_pages_show_each_picture_once_nearest_first(
    library: Library, condition: Condition, how: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_plans, "EXACT_ROWS", 50)
    recalls = []
    for n in range(5):
        expected = library.expected(n, even=condition is not None)
        found = pages(library, n, condition, size=37, depth=10_000, **how)
        assert len(set(found)) == len(found)
        assert set(found) == set(expected)
        recalls.append(len(set(found[:K]) & set(expected[:K])) / K)
        if how.get("exact"):
            assert found == expected
    assert np.mean(recalls) >= 0.96


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.usefixtures("search_by_graph")
def test_whole_pictures_alone(library: Library, exact: bool) -> None:
    recalls = []
    for n in range(10):
        expected = library.expected(n, whole=True)
        found = pages(library, n, None, size=K, depth=K, whole=True, exact=exact)
        assert len(set(found)) == K
        recalls.append(len(set(found) & set(expected[:K])) / K)
    assert np.mean(recalls) >= (1 if exact else 0.96)


@pytest.mark.parametrize("by_graph", [True, False])
def test_flat_answers_take_the_nearest_part(
    library: Library, by_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EXACT_ROWS", "MOST_EXACT_ROWS"):
        monkeypatch.setattr(vector_indexes, name, -1 if by_graph else 10**6)
    recalls, by_codes = [], []
    for n, query in enumerate(QUERIES):
        expected = library.expected(n)[:K]
        with library.sessions.begin() as session:
            found = [hit.image.id for hit in find_nearest(session, library.index, query, K)]
        assert len(set(found)) == K
        recalls.append(len(set(found) & set(expected)) / K)
        held = find_nearest_resident(library.sessions, library.resident, query, K)
        assert held is not None
        by_codes.append(len({hit.image.id for hit in held.answer} & set(expected)) / K)
    assert np.mean(recalls) >= (0.96 if by_graph else 1)
    assert np.mean(by_codes) >= 0.99


def test_the_part_that_won_is_named(library: Library) -> None:
    query = QUERIES[0]
    ids = library.expected(0)[:5]
    with library.sessions.begin() as session:
        distances, nearest = get_nearest_parts(session, library.index, query, ids)
        whole, none = get_nearest_parts(session, library.index, query, ids, regions=False)
    assert none == {}
    for image_id in ids:
        place = image_id - library.first
        assert distances[image_id] == pytest.approx(1 - library.best[0, place], abs=1e-3)
        assert whole[image_id] == pytest.approx(1 - library.of_wholes[0, place], abs=1e-3)
        part = nearest[image_id]
        if distances[image_id] < whole[image_id]:
            number = part.region - FIRST_REGION
            assert part.page is None
            assert part.box == pytest.approx(list(box(number)))
        else:
            assert part == Part(0, None, None)


def test_measures_compare_pictures_not_vectors(library: Library) -> None:
    with library.sessions.begin() as session:
        exact = exact_neighbours(
            session, library.index, QUERIES, np.zeros(len(QUERIES), np.int64), K
        )
        sample = dict(enumerate(QUERIES))
        recalls = graph_health.graph_recalls(session, library.index, sample)
    expected = 1 - np.sort(library.best, axis=1)[:, -K]
    assert exact.farthest == pytest.approx(expected, abs=1e-3)
    assert exact.vectors == COUNT * (1 + PARTS)
    assert recalls.mean() >= 0.9


def test_near_duplicates_are_not_hidden_by_a_pictures_own_parts(library: Library) -> None:
    index, first = library.index, library.first
    with library.sessions.begin() as session:
        pairs = find_neighbour_pairs(session, index, [first, first + 1], limit=3, most=2.0)
        one = replace(index, has_parts=False)
        others = find_neighbour_pairs(session, one, [first, first + 1], limit=3, most=2.0)
    assert sorted({image_id for image_id, _, _ in pairs}) == [first, first + 1]
    assert len(pairs) == 4
    assert len(others) < 4


def test_a_picture_with_all_of_the_grid_has_so_many_rows() -> None:
    assert 1 + len(list(grid_boxes())) == GRID_ROWS
