"""Graphs of labels: built and dropped by themselves, used by searches, in step with changes."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sqlalchemy import text, true
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.catalog.filters.filters import parse
from app.database.connections import Sessions, open_engine, open_sessions
from app.database.migrating import migrate
from app.database.query_plans import explain
from app.database.tables import LabelNames, Storage, VectorIndex
from app.index import embeddings, generations, scan_plans, vector_indexes
from app.index.categories import category_copies, category_graphs, category_rows
from app.index.categories.category_rows import CategoryGraph
from app.index.categories.category_search import nearest_in_category
from app.index.hnsw_search import Near
from app.index.paged_scans import IndexReader
from app.index.scan_plans import Scan, plan_scan
from app.index.scan_settings import prepare
from app.index.vector_indexes import Shape
from app.understanding.labels import image_label_rows, label_set_rows
from app.understanding.labels.label_set_rows import StoredLabelSet
from app.understanding.labels.labels import Label, LabelSet
from app.understanding.labels.scoring import Held, Scorer
from app.vectors import Vectors, VectorSpace, unit_rows
from tests.fixtures.generated_vectors import clip_like, copy_vectors, insert_images

COUNT = 2_000
DIMENSIONS = 64
SHARES = {"half": 2, "tenth": 10, "rare": 100}  # one picture in so many has the label
FEWEST = 150  # instead of 1,500
KIND = LabelSet("kind", tuple(Label(name) for name in SHARES), category=True)
QUERIES = clip_like(30, DIMENSIONS, seed=2)


@dataclass(frozen=True)
class Library:
    """A collection whose pictures have labels by the set KIND."""

    sessions: Sessions
    index: VectorIndex
    kind: StoredLabelSet
    first: int

    @property
    def declared(self) -> Mapping[str, LabelNames]:
        return {"labels.kind": LabelNames(id=self.kind.id, labels=list(SHARES))}

    def maintain(self) -> None:
        category_graphs.drop_unused(self.sessions)
        category_graphs.maintain(self.sessions, self.index, may_build=True)

    def graphs(self) -> dict[str, CategoryGraph]:
        with self.sessions.begin() as session:
            found = category_rows.of_index(session, self.index)
        assert len({one.label for one in found}) == len(found)
        return {graph.label: graph for graph in found}

    def tell(self, labels: Mapping[int, list[str]]) -> None:
        with self.sessions.begin() as session:
            tell(session, self.kind, labels)

    def find(
        self, query: Vectors, body: object, *, exact: bool = False, limit: int = 10
    ) -> tuple[list[int], Scan]:
        """What a search finds that has no codes, and how."""
        with self.sessions.begin() as session:
            where = parse(body, self.declared)
            scan = plan_scan(
                session, self.index, where.condition, limit, exact=exact, within=where.within
            )
            reader = IndexReader(session, self.index, query, where.condition)
            near, scan = reader.window(scan, 0, limit)
        return [image_id for image_id, _ in near], scan

    def recall(self, body: object) -> float:
        """recall@10 of searches by a graph of a label."""
        found = 0
        for query in QUERIES:
            near, scan = self.find(query, body)
            assert scan.category is not None
            assert len(set(near)) == 10
            found += len({*near} & {*self.find(query, body, exact=True)[0]})
        return found / (10 * len(QUERIES))

    def nearest(self, image_id: int, label: str) -> int:
        """The picture nearest to this one's vector, among those with the label, by its graph."""
        with self.sessions.begin() as session:
            vector = embeddings.get_vectors(session, self.index, [image_id])[image_id]
        near, scan = self.find(vector, {"labels.kind": label})
        assert scan.category == self.graphs()[label].id
        return near[0]


def tell(session: Session, kind: StoredLabelSet, labels: Mapping[int, list[str]]) -> None:
    ids = list(labels)
    pairs = [(place, name) for place, one in enumerate(ids) for name in labels[one]]
    places = np.array([place for place, _ in pairs], np.intp)
    held = Held(places, [name for _, name in pairs], np.ones(len(pairs), np.float32))
    image_label_rows.replace(session, kind, ids, held)


def labels_of(number: int) -> list[str]:
    """The labels of the picture with this place in its collection."""
    return [name for name, every in SHARES.items() if number % every == 0]


@pytest.fixture(scope="module")
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = open_engine(database_url)
    migrate(engine)
    yield open_sessions(engine)
    engine.dispose()


def library_of(sessions: Sessions, storage: Storage = "halfvec") -> Library:
    space = VectorSpace("generated", "clip-like", "0" * 64, DIMENSIONS)
    with sessions.begin() as session:
        name = f"c{session.execute(text('SELECT count(*) FROM collections')).scalar_one()}"
        made = collections.create(session, NewCollection("", name, "english", {}))
        index = vector_indexes.create_index(session, made.id, space, Shape(storage))
        insert_images(session, made.id, [f'{{"n": {n}}}' for n in range(COUNT)])
        query = text("SELECT min(id) FROM images WHERE collection_id = :id")
        first: int = session.execute(query, {"id": made.id}).scalar_one()
        copy_vectors(session, index, clip_like(COUNT, DIMENSIONS, seed=1), first)
        vector_indexes.build_hnsw(session, index)
        stored, _ = label_set_rows.put(session, made.id, KIND)
        scorer = Scorer(KIND, np.zeros((1, DIMENSIONS), np.float32), 1.0)
        label_set_rows.keep_vectors(session, stored, scorer, space.fingerprint)
        stored = label_set_rows.get(session, made.id, "kind")
        tell(session, stored, {first + n: labels_of(n) for n in range(COUNT)})
        session.execute(text("ANALYZE images, image_labels"))
    return Library(sessions, index, stored, first)


@pytest.fixture
def _as_if_large(monkeypatch: pytest.MonkeyPatch, search_by_graph: None) -> None:
    monkeypatch.setattr(scan_plans, "EXACT_ROWS", 50)
    monkeypatch.setattr(category_graphs, "FEWEST", FEWEST)
    monkeypatch.setattr(category_graphs, "FEWEST_KEPT", FEWEST // 2)


@pytest.fixture
def bare(sessions: Sessions, _as_if_large: None) -> Library:
    """Without graphs of labels."""
    return library_of(sessions)


@pytest.fixture
def library(bare: Library) -> Library:
    """With the graphs that the service builds."""
    bare.maintain()
    return bare


def built(library: Library) -> set[str]:
    """The graphs of labels in Postgres that are whole, by name."""
    query = text(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid AND indisready "
        "AND indrelid = 'category_vectors'::regclass AND indpred IS NOT NULL"
    )
    with library.sessions.begin() as session:
        return set(session.execute(query).scalars())


def copied(library: Library, label: str) -> set[int]:
    query = text("SELECT image_id FROM category_vectors WHERE graph_id = :id")
    with library.sessions.begin() as session:
        return set(session.execute(query, {"id": library.graphs()[label].id}).scalars())


def test_large_labels_get_a_graph_that_searches_use(bare: Library) -> None:
    """Not those of a few pictures."""
    _, scan = bare.find(QUERIES[0], {"labels.kind": "half"})
    assert (scan.method, scan.category) == ("hnsw", None)
    bare.maintain()
    graphs = bare.graphs()
    assert set(graphs) == {"half", "tenth"}
    assert {graph.name for graph in graphs.values()} <= built(bare)
    for label, graph in graphs.items():
        assert graph.ready
        assert len(copied(bare, label)) == graph.vectors == COUNT // SHARES[label]
        _, scan = bare.find(QUERIES[0], {"labels.kind": label})
        assert (scan.method, scan.category) == ("hnsw", graph.id)
    assert bare.find(QUERIES[0], {"labels.kind": "rare"})[1].few
    before = built(bare)
    bare.maintain()
    assert (bare.graphs(), built(bare)) == (graphs, before)  # nothing is done twice


def test_postgres_plans_with_the_graph_of_the_label(library: Library) -> None:
    graph = library.graphs()["tenth"]
    where = parse({"labels.kind": "tenth"}, library.declared)
    query = nearest_in_category(library.index, graph.id, QUERIES[0], where.condition, 5_000, None)
    with library.sessions.begin() as session:
        prepare(session, 400)
        plan = "\n".join(session.execute(explain(query.limit(10))).scalars())
    assert f"Index Scan using {graph.name} on category_vectors" in plan


@pytest.mark.parametrize("label", ["half", "tenth"])
def test_answers_are_as_good_as_exact_ones(library: Library, label: str) -> None:
    assert library.recall({"labels.kind": label}) >= 0.97
    assert library.recall({"and": [{"labels.kind": {"in": [label]}}, {"width": 1}]}) >= 0.97


@pytest.mark.parametrize("storage", ["vector", "bit"])
@pytest.mark.usefixtures("_as_if_large")
def test_graphs_are_stored_like_that_of_the_index(sessions: Sessions, storage: Storage) -> None:
    library = library_of(sessions, storage)
    library.maintain()
    assert set(library.graphs()) == {"half", "tenth"}
    assert library.recall({"labels.kind": "tenth"}) >= 0.97


def test_only_a_label_that_all_must_have_is_searched_within(library: Library) -> None:
    for body in (
        {"or": [{"labels.kind": "half"}, {"width": 1}]},
        {"not": {"labels.kind": "half"}},
        {"labels.kind": {"in": ["half", "tenth"]}},
        {"labels.kind": {"ne": "tenth"}},
    ):
        assert library.find(QUERIES[0], body)[1].category is None
    both = {"and": [{"labels.kind": "half"}, {"labels.kind": "tenth"}]}
    assert library.find(QUERIES[0], both)[1].category == library.graphs()["tenth"].id


def test_a_label_that_changes_is_in_the_next_answer(library: Library) -> None:
    one = library.first + 3
    assert library.nearest(one, "tenth") != one
    library.tell({one: ["tenth"]})
    assert library.nearest(one, "tenth") == one
    library.tell({one: ["half"]})
    assert library.nearest(one, "tenth") != one
    assert library.nearest(one, "half") == one
    assert one not in copied(library, "tenth")
    assert library.recall({"labels.kind": "tenth"}) >= 0.97


def test_a_picture_that_is_deleted_or_changed_follows(library: Library) -> None:
    gone, changed = library.first + 10, library.first + 20
    with library.sessions.begin() as session:
        session.execute(text("UPDATE images SET removed_at = now() WHERE id = :id"), {"id": gone})
    assert library.nearest(gone, "tenth") != gone
    with library.sessions.begin() as session:
        session.execute(text("DELETE FROM images WHERE id = :id"), {"id": gone})
    assert gone not in copied(library, "tenth")
    other = unit_rows(clip_like(1, DIMENSIONS, seed=9))
    with library.sessions.begin() as session:
        embeddings.put_vectors(session, library.index, [changed], other)
    assert library.find(other[0], {"labels.kind": "tenth"})[0][0] == changed


def test_a_new_picture_is_found_within_its_label(library: Library) -> None:
    other = unit_rows(clip_like(1, DIMENSIONS, seed=10))
    with library.sessions.begin() as session:
        insert = (
            "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, "
            "format) VALUES (:id, 'new', sha256('new'), '', 1, 1, 1, 'PNG') RETURNING id"
        )
        new = session.execute(text(insert), {"id": library.index.collection_id}).scalar_one()
        embeddings.put_vectors(session, library.index, [new], other)
        tell(session, library.kind, {new: ["tenth"]})
    assert library.find(other[0], {"labels.kind": "tenth"})[0][0] == new


def test_a_picture_that_has_left_the_collection_is_never_shown(library: Library) -> None:
    """Even where its copy was left, and its label is still there."""
    one = library.first + 30
    with library.sessions.begin() as session:
        made = collections.create(session, NewCollection("other", "other", "english", {}))
        session.execute(
            text("UPDATE images SET collection_id = :other WHERE id = :id"),
            {"other": made.id, "id": one},
        )
    assert one in copied(library, "tenth")
    assert library.nearest(one, "tenth") != one


def test_labels_told_while_a_graph_begins_are_not_lost(bare: Library) -> None:
    """Whoever changes labels without knowing of the graph is waited for."""
    one = bare.first + 3
    with ThreadPoolExecutor(1) as thread, bare.sessions() as session:
        tell(session, bare.kind, {one: ["tenth"]})
        building = thread.submit(bare.maintain)
        until_waiting(bare)
        session.commit()
        building.result(timeout=60)
    assert bare.nearest(one, "tenth") == one


def until_waiting(library: Library) -> None:
    """Until a transaction waits for those that have looked at the graphs."""
    query = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'category_graphs'::regclass"
    )
    for _ in range(1_000_000):
        with library.sessions.begin() as session:
            if session.execute(query).scalar_one():
                return
    raise AssertionError


def test_what_changes_while_a_graph_is_filled_wins(bare: Library) -> None:
    """The fill yields to whoever has written a copy, and takes what that has left."""
    key = (bare.kind.id, bare.kind.revision, "tenth")
    one, other = bare.first + 10, unit_rows(clip_like(1, DIMENSIONS, seed=11))
    with bare.sessions.begin() as session:
        graph = category_rows.register(session, bare.index, key, 200)
    with bare.sessions.begin() as session:
        embeddings.put_vectors(session, bare.index, [one], other)
    with bare.sessions.begin() as session:
        category_copies.fill(session, graph, [one, one + 10])
        found, _ = session.execute(
            nearest_in_category(bare.index, graph.id, other[0], true(), None, None).limit(1)
        ).one()
        assert found == one
        assert category_copies.lacking(session, graph)
        assert one not in category_copies.lacking(session, graph)
    bare.maintain()  # what somebody has begun and not finished is dropped, and built anew
    assert bare.graphs()["tenth"].id != graph.id
    assert bare.graphs()["tenth"].ready


def test_a_set_that_is_no_category_any_more_loses_its_graphs(library: Library) -> None:
    names = {graph.name for graph in library.graphs().values()}
    with library.sessions.begin() as session:
        labels = replace(KIND, category=False)
        stored, _ = label_set_rows.put(session, library.index.collection_id, labels)
    assert stored.revision == library.kind.revision  # no picture is labelled anew
    library.maintain()
    assert library.graphs() == {}
    assert not names & built(library)
    assert library.find(QUERIES[0], {"labels.kind": "half"})[1].category is None


def test_a_changed_set_gets_new_graphs_and_a_deleted_one_leaves_none(library: Library) -> None:
    names = {graph.name for graph in library.graphs().values()}
    with library.sessions.begin() as session:
        session.execute(text("UPDATE label_sets SET revision = revision + 1"))
    assert library.find(QUERIES[0], {"labels.kind": "half"})[1].category is None
    library.maintain()
    assert library.graphs() == {}  # nothing is labelled by it yet
    with library.sessions.begin() as session:
        session.execute(text("UPDATE image_labels SET revision = revision + 1"))
    library.maintain()
    again = {graph.name for graph in library.graphs().values()}
    assert len(again) == 2
    assert not names & built(library)
    with library.sessions.begin() as session:
        label_set_rows.remove(session, library.index.collection_id, "kind")
    library.maintain()
    assert not again & built(library)


def test_a_label_that_shrinks_loses_its_graph_and_one_that_grows_gets_another(
    library: Library,
) -> None:
    """Within bounds apart, so that none is built and dropped again and again."""
    tenth, half = library.graphs()["tenth"], library.graphs()["half"]
    ids = [library.first + n for n in range(0, COUNT, 10)]
    library.tell({one: [] for one in ids[:100]})
    library.maintain()
    assert library.graphs()["tenth"] == tenth  # 100 are left
    library.tell({one: [] for one in ids[100:150]})
    library.maintain()
    assert set(library.graphs()) == {"half"}
    odd = [library.first + n for n in range(1, 1_400, 2)]
    library.tell({one: ["half"] for one in odd})
    library.maintain()
    grown = library.graphs()["half"]
    assert (grown.id > half.id, grown.vectors) == (True, COUNT // 2 - 150 + len(odd))
    assert half.name not in built(library)
    assert library.recall({"labels.kind": "half"}) >= 0.97


def test_another_generation_gets_graphs_of_its_own_once_it_is_active(library: Library) -> None:
    former = library.graphs()
    with library.sessions.begin() as session:
        space, shape = library.index.space, Shape(m=8)
        other = vector_indexes.create_index(
            session, library.index.collection_id, space, shape, state="building"
        )
        vectors = clip_like(COUNT, DIMENSIONS, seed=1)
        copy_vectors(session, other, vectors, library.first)
        vector_indexes.build_hnsw(session, other)
        generations.swap(session, library.index, other)
    swapped = replace(library, index=other)
    assert swapped.find(QUERIES[0], {"labels.kind": "half"})[1].category is None
    swapped.maintain()
    assert library.graphs() == {}
    assert not {graph.name for graph in former.values()} & built(library)
    assert set(swapped.graphs()) == {"half", "tenth"}
    assert swapped.recall({"labels.kind": "tenth"}) >= 0.97
    with library.sessions.begin() as session:
        vector_indexes.drop_index(session, other)
    category_graphs.drop_unused(library.sessions)
    assert not {graph.name for graph in swapped.graphs().values()} & built(library)


def test_pages_go_on_after_the_graph_was_dropped(library: Library) -> None:
    body = {"labels.kind": "tenth"}
    where = parse(body, library.declared)
    found: list[Near] = []
    for start in range(0, 200, 20):
        with library.sessions.begin() as session:
            if start == 0:
                scan = plan_scan(session, library.index, where.condition, 20, within=where.within)
            reader = IndexReader(session, library.index, QUERIES[0], where.condition)
            near, more, scan = reader.page(scan, start)
        found += near[:20]
        assert more == (start < 180)
        if start == 40:
            category_graphs.drop(library.sessions, library.graphs()["tenth"])
    assert len({image_id for image_id, _ in found}) == len(found) == 200
