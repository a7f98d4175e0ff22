"""Graphs that the service tunes by itself: when, for what, and not while somebody searches."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.catalog.collections import NewCollection
from app.database.locks import alone
from app.database.tables import VectorIndex
from app.encoders import batching
from app.errors import Interrupted
from app.index import recall, tuning, vector_indexes
from app.index.recall import EF_SEARCHES
from app.index.tuning import Tuning
from app.index.vector_indexes import DEFAULT_SHAPE
from app.runtime.graph_tuning import GraphTuning
from app.runtime.services import Services
from tests.fixtures.folder_jobs import sql
from tests.fixtures.generated_vectors import clip_like, copy_vectors, insert_images

COUNT = 2_000  # vectors
WANTED = 0.8
COLLECTION = "/api/v1/collections/default"


@pytest.fixture(autouse=True)
def _graphs(
    services: Services, search_by_graph: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """All graphs are large enough, nobody has searched yet, and nothing stays as it was chosen."""
    monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", COUNT - 1)
    monkeypatch.setattr(batching, "RECENT_SECONDS", 0.0)
    yield
    with services.sessions.begin() as session:
        session.execute(text("UPDATE vector_indexes SET ef_search = NULL, tuning = NULL"))


@pytest.fixture(scope="module")
def _pictures(services: Services) -> None:
    fill(services, services.search.index)


def fill(services: Services, index: VectorIndex) -> None:
    with services.sessions.begin() as session:
        insert_images(session, index.collection_id, ["{}"] * COUNT)
        first = text("SELECT min(id) FROM images WHERE collection_id = :id")
        first_id = session.execute(first, {"id": index.collection_id}).scalar_one()
        vector_indexes.drop_hnsw_if_empty(session, index)
        copy_vectors(session, index, clip_like(COUNT, index.dimensions, seed=5), first_id)
        vector_indexes.build_hnsw(session, index)


def tune(services: Services, wanted: float = WANTED) -> None:
    stop = services.worker.interrupt
    GraphTuning(services.sessions, services.registry, wanted, stop).tune_graphs()


def told(client: TestClient) -> tuple[int | None, dict[str, Any] | None]:
    """The collection's ef_search, and why."""
    details = client.get(COLLECTION).json()
    return details["ef_search"], details["tuning"]


@pytest.mark.usefixtures("_pictures")
def test_a_large_graph_gets_the_least_that_holds(services: Services, client: TestClient) -> None:
    assert told(client) == (None, None)
    tune(services)
    ef_search, why = told(client)
    assert ef_search in EF_SEARCHES[:-1]
    assert why is not None
    assert (why["by"], why["wanted"], why["reached"]) == ("service", WANTED, True)
    assert (why["k"], why["vectors"]) == (10, COUNT)
    assert WANTED <= why["recall"] <= 1
    assert why["worse"] in {"texts", "pictures"}
    opened = services.registry.open_id(services.search.index.collection_id)
    found = opened.recall.measure_graph()
    assert min(found.text_recall or 1, found.picture_recall or 1) >= WANTED - 0.05


@pytest.mark.usefixtures("_pictures")
def test_it_is_chosen_anew_once_the_vectors_have_doubled(
    services: Services, client: TestClient
) -> None:
    """For the recall that was wanted of it, also by an admin; until then it stays."""
    index = services.search.index
    for former, is_due in ((COUNT // 2, True), (COUNT // 2 + 1, False)):
        known = Tuning("admin", 5, 0.7, True, 0.72, "texts", 1.0, former)
        with services.sessions.begin() as session:
            tuning.keep_tuning(session, index, 777, known)
        tune(services)
        ef_search, why = told(client)
        assert why is not None
        assert (why["by"], why["k"], why["wanted"]) == ("admin", 5, 0.7)
        assert (ef_search != 777, why["vectors"]) == (is_due, COUNT if is_due else former)


@pytest.mark.usefixtures("_pictures")
def test_pictures_held_for_review_are_no_growth(services: Services, client: TestClient) -> None:
    """They are in no answer, exact or not, so what was tuned without them stays."""
    known = Tuning("service", 10, WANTED, True, 0.9, "texts", 1.0, COUNT // 2)
    with services.sessions.begin() as session:
        tuning.keep_tuning(session, services.search.index, 777, known)
    hold = "UPDATE images SET removed_at = 'infinity' WHERE id % 2 = 0"
    assert sql(services, f"{hold} RETURNING id")
    try:
        tune(services)
    finally:
        sql(services, "UPDATE images SET removed_at = NULL")
    assert told(client) == (777, asdict(known))


@pytest.mark.parametrize(
    ("change", "is_read"), [("tuning || '{\"later\": 1}'", True), ("tuning - 'worse'", False)]
)
def test_servers_of_two_versions_can_run_beside_each_other(
    services: Services, client: TestClient, change: str, is_read: bool
) -> None:
    """What a later one keeps besides is passed over; without what this one shows there is none."""
    known = Tuning("service", 10, WANTED, True, 0.9, "texts", 1.0, COUNT)
    with services.sessions.begin() as session:
        tuning.keep_tuning(session, services.search.index, 777, known)
    sql(services, f"UPDATE vector_indexes SET tuning = {change}")
    assert told(client) == (777, asdict(known) if is_read else None)


@pytest.mark.usefixtures("_pictures")
def test_what_no_candidates_reach_takes_the_most(
    services: Services, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "EF_SEARCHES", (10, 20))
    tune(services, 0.999)
    ef_search, why = told(client)
    assert why is not None
    assert (ef_search, why["reached"]) == (20, False)
    assert why["recall"] < 0.999


@pytest.mark.usefixtures("_pictures")
@pytest.mark.parametrize("why", ["small", "chosen", "locked", "stopping"])
def test_it_is_left_as_it_is(
    services: Services, client: TestClient, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = services.search.index
    if why == "small":
        monkeypatch.setattr(vector_indexes, "MOST_EXACT_ROWS", COUNT)
    if why == "chosen":
        with services.sessions.begin() as session:
            session.execute(text("UPDATE vector_indexes SET ef_search = 80"))
    before = told(client)
    with alone(services.sessions, f"tune {index.partition}" if why == "locked" else "other"):
        stop = threading.Event()
        if why == "stopping":
            stop.set()
        GraphTuning(services.sessions, services.registry, WANTED, stop).tune_graphs()
    assert told(client) == before


class Watched(threading.Event):
    """Calls `act` when it is looked at for the LOOKS-th time: by then recall is being measured."""

    LOOKS = 20

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act, self._looks = act, 0

    def is_set(self) -> bool:
        self._looks += 1
        if self._looks == self.LOOKS:
            self._act()
        return super().is_set()


@pytest.mark.usefixtures("_pictures")
@pytest.mark.parametrize("former", [None, Tuning("service", 10, 0.7, True, 0.7, "texts", 1.1, 1)])
def test_what_an_admin_chooses_meanwhile_stays(
    services: Services, client: TestClient, former: Tuning | None
) -> None:
    chosen = Tuning("admin", 5, 0.7, True, 0.72, "texts", 1.0, COUNT)

    def choose(ef_search: int, why: Tuning) -> None:
        with services.sessions.begin() as session:
            tuning.keep_tuning(session, services.search.index, ef_search, why)

    if former is not None:
        choose(10, former)
    stop = Watched(partial(choose, 777, chosen))
    GraphTuning(services.sessions, services.registry, WANTED, stop).tune_graphs()
    assert told(client) == (777, asdict(chosen))


@pytest.mark.usefixtures("_pictures")
def test_an_index_that_fails_leaves_the_others_alone(
    services: Services, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The default collection is looked at first. It is not tried again at once."""
    refused = services.search.index
    other = services.registry.create(NewCollection("test", "later"), None, DEFAULT_SHAPE)
    fill(services, other.index)
    sql(services, f"ALTER TABLE vector_indexes ADD CONSTRAINT refused CHECK "
                  f"(id <> {refused.id} OR tuning IS NULL)")  # fmt: skip
    stop = services.worker.interrupt
    graphs = GraphTuning(services.sessions, services.registry, WANTED, stop)
    try:
        graphs.tune_graphs()
        assert services.registry.tunings([other])[0] is not None
        graphs.tune_graphs()
    finally:
        sql(services, "ALTER TABLE vector_indexes DROP CONSTRAINT refused")
        services.registry.delete(other)
    assert told(client) == (None, None)
    assert caplog.text.count(f"index {refused.id} was not tuned") == 1


@pytest.mark.usefixtures("_pictures")
def test_not_while_somebody_searches(
    services: Services, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "RECENT_SECONDS", 60.0)
    assert client.get("/search-by-text", params={"query": "a tree"}).status_code == 200
    tune(services)
    assert told(client) == (None, None)


@pytest.mark.usefixtures("_pictures")
def test_it_gives_way_to_whoever_asks_for_recall(
    services: Services, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "EF_SEARCHES", (10,) * 1_000_000)  # it does not end by itself
    measuring = threading.Event()
    stop = Watched(measuring.set)
    graphs = GraphTuning(services.sessions, services.registry, 0.999, stop)
    background = threading.Thread(target=graphs.tune_graphs)
    background.start()
    try:
        assert measuring.wait(60)
        answer = client.get(f"{COLLECTION}/recall", params={"sample": 20})
        assert answer.status_code == 200, answer.text
        background.join(60)
        assert not background.is_alive()
    finally:
        stop.set()
        background.join()
    assert told(client) == (None, None)


@pytest.mark.usefixtures("_pictures")
def test_a_search_ends_it(services: Services) -> None:
    """Before the next of its own searches, and the next look begins anew."""
    opened = services.registry.open_id(services.search.index.collection_id)
    left = iter(range(20))

    def go_on() -> None:
        if next(left, None) is None:
            raise Interrupted("Somebody searches.")

    with pytest.raises(Interrupted):
        opened.recall.tune(WANTED, go_on=go_on)
    assert opened.recall.tune(WANTED).reached
