"""Standing searches over HTTP (issue 20): new pictures are told of, each once, in every way."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from app.catalog.standing import match_rows, standing_search_rows
from app.ingest.webhooks import delivery
from app.runtime.dataset.exporting import export_dataset
from app.runtime.dataset.importing import import_dataset
from app.runtime.services import Services
from app.runtime.standing import comparison, standing_work
from app.runtime.standing.comparison import Comparison
from app.runtime.standing.standing_work import StandingWork
from app.settings import Settings
from app.web.routes import standing_searches as routes
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import run, sql
from tests.fixtures.http_jobs import done, ended, send, send_archive, working, zipped
from tests.fixtures.search_library import PICTURES, answer, refused, upload_pictures
from tests.fixtures.web_server import Site, http, serving
from tests.ingest.test_webhooks import LOOPBACK, SECRET, at, verified
from tests.runtime.dataset.test_round_trip import nothing

PATH = "/api/v1/standing-searches"
COLLECTION = "/api/v1/collections/default"
SECONDS = 60.0  # a hang is a failure, slowness is not
ATOM = "{http://www.w3.org/2005/Atom}"
GREEN_TREE = "green-tree.jpg"
Details = dict[str, Any]


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    changes = {"webhook_secret": SecretStr(SECRET), "download_allow": LOOPBACK}
    return settings.model_copy(update=changes)


@pytest.fixture(scope="module")
def library(client: TestClient, services: Services) -> dict[str, int]:
    """Pictures that were there before, none of which a standing search may tell of."""
    ids = upload_pictures(client, services)
    services.search.statistics.measure()
    return ids


@pytest.fixture(autouse=True)
def _afresh(client: TestClient, services: Services, library: dict[str, int]) -> Iterator[None]:
    """Neither standing searches nor other pictures stay, nor what these did to the calibration.

    Among thirty drawings that are much alike, one more tree is no match for a picture of a tree.
    """
    yield
    sql(services, "DELETE FROM standing_searches")
    sql(services, "DELETE FROM procrastinate_jobs")
    sql(services, "DELETE FROM label_sets")
    if new := ids_of_new(services):
        client.post(f"{COLLECTION}/images/delete", json={"ids": new})
        expire(services)
        services.search.statistics.measure()
    sql(services, "DELETE FROM skipped_files")


def ids_of_new(services: Services) -> list[int]:
    """Of the pictures of the default collection that are not of the library."""
    query = (
        "SELECT images.id FROM images JOIN collections ON collections.id = collection_id "
        "WHERE removed_at IS NULL AND images.id > :library AND name = 'default'"
    )
    return [one for (one,) in sql(services, query, library=len(PICTURES))]


def expire(services: Services) -> None:
    """Have deleted pictures go for good."""
    long_ago = "UPDATE images SET removed_at = now() - interval '1 day'"
    sql(services, f"{long_ago} WHERE removed_at IS NOT NULL")
    services.worker.upkeep.maintain_queue()


def data_of(name: str) -> bytes:
    return (TEST_IMAGES / name).read_bytes()


def make(client: TestClient, query: Any = "a green tree", **more: Any) -> Details:
    made = client.post(PATH, json={"query": query, **more})
    assert made.status_code == 201, made.text
    details: Details = made.json()
    assert made.headers["location"] == details["url"]
    return details


def add(client: TestClient, name: str = GREEN_TREE, status: int = 201, **fields: str) -> int:
    sent = client.post("/upload", files={"file": (name, data_of(name))}, data=fields)
    assert sent.status_code == status, sent.text
    image_id: int = sent.json()[0]["id"]
    return image_id


def compare(services: Services) -> None:
    """What a worker does every second."""
    services.worker.standing_work.tell_of_new()


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def matches(client: TestClient, search: Details) -> list[Details]:
    told = client.get(f"{search['url']}/matches", params={"limit": 100})
    assert told.status_code == 200, told.text
    found: list[Details] = told.json()["data"]
    return found


def found(client: TestClient, search: Details) -> list[int]:
    return [one["image"]["id"] for one in matches(client, search)]


def entries(client: TestClient, url: str) -> list[ElementTree.Element]:
    told = client.get(url)
    assert told.status_code == 200, told.text
    assert told.headers["content-type"] == "application/atom+xml"
    return ElementTree.fromstring(told.content).findall(f"{ATOM}entry")  # our own


def test_what_is_uploaded_is_told_once_with_the_confidence_of_a_search(
    client: TestClient, services: Services
) -> None:
    tree, car = make(client), make(client, "a red car")
    image_id = add(client)
    compare(services)
    (match,) = matches(client, tree)
    assert (match["image"]["id"], match["standing_search_id"]) == (image_id, tree["id"])
    hits = answer(client, query="a green tree", exact=True)["hits"]
    (hit,) = [one for one in hits if one["id"] == image_id]
    assert match["similarity"] == pytest.approx(hit["score"], abs=1e-3)
    assert match["confidence"] == pytest.approx(hit["confidence"], abs=1e-3)
    assert match["webhook"] is None
    assert matches(client, car) == []
    assert sql(services, "SELECT 1 FROM standing_new_images") == []
    assert add(client, status=200) == image_id  # the same bytes: nothing is new
    compare(services)
    assert found(client, tree) == [image_id]


def test_whatever_adds_pictures_and_whichever_worker_compares_each_match_is_one(
    client: TestClient, services: Services, settings: Settings, tmp_path: Path
) -> None:
    """By upload, form, archive, folder and data set, while several workers compare."""
    search = make(client, "anything", min_confidence=0)
    folder = Path(settings.source_dir)
    folder.mkdir(exist_ok=True)
    (folder / "sub.png").write_bytes(png(901))
    others = [
        replace(services.worker.standing_work, comparison=Comparison(services.sessions))
        for _ in range(3)
    ]
    stop = threading.Event()

    def keep_comparing(work: StandingWork) -> None:
        while not stop.is_set():
            work.tell_of_new()

    with ThreadPoolExecutor() as threads:
        running = [threads.submit(keep_comparing, work) for work in others]
        try:
            with working(services):
                add(client)
                done(client, send(client, *((f"{n}.png", png(n)) for n in range(910, 930))))
                packed = {f"{n}.png": png(n) for n in range(930, 940)}
                done(client, send_archive(client, zipped(packed)))
                run(services, folder)
        finally:
            stop.set()
        for one in running:
            one.result()
    compare(services)
    new = set(ids_of_new(services))
    assert len(new) == 1 + 20 + 10 + 1
    told = matches(client, search)
    assert sorted(one["image"]["id"] for one in told) == sorted(new)
    assert len({one["id"] for one in told}) == len(new)
    (folder / "sub.png").unlink()


def test_pictures_of_a_data_set_and_moved_ones_are_new(
    client: TestClient, services: Services, tmp_path: Path
) -> None:
    name = f"c{tmp_path.name}".lower().replace("_", "-")[:40]
    assert client.post("/api/v1/collections", json={"name": name}).status_code == 201
    there = make(client, "anything", min_confidence=0, collection=name)
    here = make(client, "anything", min_confidence=0)
    image_id = add(client)
    compare(services)
    moved = client.post(f"{COLLECTION}/images/move", json={"ids": [image_id], "collection": name})
    assert moved.status_code == 200, moved.text
    compare(services)
    assert found(client, there) == [image_id]
    assert found(client, here) == []  # it is in this collection no more
    export_dataset(services.sessions, ("default", name), tmp_path / "data", "npy", nothing)
    import_dataset(services.sessions, ("default", "default"), tmp_path / "data", nothing)
    compare(services)
    (copied,) = ids_of_new(services)
    assert found(client, here) == [copied]
    client.delete(f"/api/v1/collections/{name}")


def test_filters_are_those_of_searches(
    client: TestClient, services: Services, library: dict[str, int]
) -> None:
    whole = {"query": "a green tree", "min_confidence": 0.5}
    label_set = {"labels": ["tree", "car"], "exclusive": True, "other": []}
    assert client.put(f"{COLLECTION}/label-sets/kind", json=label_set).status_code == 201
    job_id = client.get(f"{COLLECTION}/label-sets/kind").json()["job_id"]
    with working(services):
        assert ended(client, f"/api/v1/jobs/{job_id}")["status"] == "succeeded"
    passing = [{}, {"place": "Porto"}, {"stars": {"gt": 3}}, {"labels.kind": "tree"}]
    failing = [{"place": "Faro"}, {"stars": {"lt": 3}}, {"not": {"place": "Porto"}}]
    failing += [{"labels.kind": "car"}, {"taken_at": {"gt": "2020-01-01"}}]
    told = [make(client, **whole, filter=one) for one in passing]
    silent = [make(client, **whole, filter=one) for one in failing]
    image_id = add(client, metadata='{"place": "Porto", "stars": 4}')
    compare(services)
    assert [found(client, one) for one in told] == [[image_id]] * len(passing)
    assert [found(client, one) for one in silent] == [[]] * len(failing)
    assert client.delete(f"{COLLECTION}/label-sets/kind").status_code == 204
    gone = client.get(told[-1]["url"]).json()
    assert "labels.kind" in gone["problem"]
    assert client.get(told[0]["url"]).json()["problem"] is None


def test_a_query_of_pictures_finds_what_is_like_them(
    client: TestClient, services: Services, library: dict[str, int]
) -> None:
    terms = [{"id": library["tree.jpg"]}, {"text": "a car", "weight": -0.2}]
    search = make(client, terms)
    assert search["title"] == f"picture {library['tree.jpg']} − 0.2 × a car"
    assert [one["id"] for one in search["query"]] == [library["tree.jpg"], None]
    make(client, [{"id": library["cat.jpg"]}])
    image_id = add(client)
    compare(services)
    assert found(client, search) == [image_id]


def test_a_held_picture_is_told_of_once_it_is_approved(
    client: TestClient, services: Services
) -> None:
    gate = {"labels": [{"name": "tree", "phrases": ["a tree"]}], "gate": "flag"}
    assert client.put(f"{COLLECTION}/label-sets/gate", json=gate).status_code == 201
    search = make(client)
    sent = client.post("/upload", files={"file": ("a.jpg", data_of(GREEN_TREE))}).json()[0]
    assert sent["status"] == "held"
    compare(services)
    assert (found(client, search), entries(client, search["feed_url"])) == ([], [])
    decided = client.post(f"{COLLECTION}/review/{sent['id']}", json={"decision": "approve"})
    assert decided.status_code == 200
    compare(services)
    assert found(client, search) == [sent["id"]]
    client.delete(f"{COLLECTION}/label-sets/gate")


def test_a_deleted_picture_vanishes_and_comes_back(client: TestClient, services: Services) -> None:
    search = make(client)
    image_id = add(client)
    undoable = {"ids": [image_id], "restorable": True}
    client.post(f"{COLLECTION}/images/delete", json=undoable)
    compare(services)  # it was deleted before it was compared
    assert found(client, search) == []
    restored = client.post(f"{COLLECTION}/images/restore", json={"ids": [image_id]})
    assert restored.json()["ids"] == [image_id]
    compare(services)
    assert found(client, search) == [image_id]
    (entry,) = entries(client, search["feed_url"])
    client.post(f"{COLLECTION}/images/delete", json=undoable)
    assert (found(client, search), entries(client, search["feed_url"])) == ([], [])
    client.post(f"{COLLECTION}/images/restore", json={"ids": [image_id]})
    (again,) = entries(client, search["feed_url"])
    assert again.findtext(f"{ATOM}id") == entry.findtext(f"{ATOM}id")


def test_after_a_change_of_generation_queries_are_encoded_for_it(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one whose picture has gone says that it finds nothing any more, and is left alone."""
    search = make(client)
    lost_id = add(client, "dog.jpg")
    lost = make(client, [{"id": lost_id}])
    compare(services)
    client.post(f"{COLLECTION}/images/delete", json={"ids": [lost_id]})
    expire(services)
    sql(services, "UPDATE standing_searches SET vector = decode('00', 'hex')")
    with working(services):
        done(client, client.post(f"{COLLECTION}/reindex", json={"m": 12}))
    listed = client.get(f"{COLLECTION}/generations").json()["data"]
    (ready,) = [one["id"] for one in listed if one["status"] == "ready"]
    activated = client.post(f"{COLLECTION}/generations/{ready}/activate")
    assert activated.status_code == 200, activated.text
    image_id = add(client)
    compare(services)
    assert found(client, search) == [image_id]
    problem = client.get(lost["url"]).json()["problem"]
    assert problem == f"query[0]: this collection has no picture {lost_id} with a vector."
    assert client.get(search["url"]).json()["problem"] is None
    written = "SELECT xmin::text FROM standing_searches WHERE id = :id"
    before = sql(services, written, id=lost["id"])
    for name, pause, is_same in (("pizza.jpg", SECONDS, True), ("bullet-train.jpg", 0.0, False)):
        monkeypatch.setattr(standing_work, "PROBLEM_PAUSE_SECONDS", pause)
        add(client, name)
        compare(services)
        assert (sql(services, written, id=lost["id"]) == before) is is_same


@pytest.fixture
def receiver() -> Iterator[Site]:
    with serving() as site:
        site.answers["/hook"] = http(204)
        yield site


def test_a_webhook_is_signed_and_repeated_with_the_same_id(
    client: TestClient, services: Services, receiver: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_SECONDS", (1,) * 99)
    receiver.answers["/hook"] = http(500)
    search = make(client, webhook_url=at(receiver))
    assert search["webhook"] is True
    assert at(receiver) not in json.dumps(search)
    image_id = add(client)
    with working(services):
        until(lambda: len(receiver.posted) > 0 and reported(client, search)["attempts"] > 0)
        assert reported(client, search)["status"] == "pending"
        receiver.answers["/hook"] = http(200)
        until(lambda: reported(client, search)["status"] == "delivered")
    content = verified(receiver, -1)
    assert content["type"] == "standing_search.matched"
    told = content["data"]
    assert (told["standing_search_id"], told["collection"]) == (search["id"], "default")
    (match,) = told["matches"]
    assert match["image_id"] == image_id
    assert match["confidence"] == pytest.approx(matches(client, search)[0]["confidence"])
    assert len(set(receiver.posted)) == 1
    assert {headers["webhook-id"] for _, headers in receiver.asked} == {
        reported(client, search)["id"]
    }


def test_many_matches_are_few_messages_and_none_once_the_search_is_deleted(
    client: TestClient, services: Services, receiver: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MATCHES_PER_MESSAGE", 4)
    search = make(client, "anything", min_confidence=0, webhook_url=at(receiver))
    dropped = make(client, "anything", min_confidence=0, webhook_url=at(receiver, "/dropped"))
    with working(services):
        done(client, send(client, *((f"{n}.png", png(n)) for n in range(940, 950))))
    tell_late = [one["id"] for one in matches(client, search)]
    if len(tell_late) < 10:
        compare(services)
    assert len(matches(client, search)) == 10
    client.delete(dropped["url"])
    with working(services):
        until(
            lambda: all(one["webhook"]["status"] == "delivered" for one in matches(client, search))
        )
    sent = [verified(receiver, n)["data"] for n in range(len(receiver.posted))]
    assert {one["standing_search_id"] for one in sent if one["standing_search_id"] == search["id"]}
    told = [
        match["image_id"]
        for one in sent
        if one["standing_search_id"] == search["id"]
        for match in one["matches"]
    ]
    assert sorted(told) == sorted(found(client, search))


def reported(client: TestClient, search: Details) -> Details:
    """The message about its only match."""
    (match,) = matches(client, search)
    told: Details = match["webhook"]
    return told


def test_a_feed_is_atom_and_is_not_sent_twice(client: TestClient, services: Services) -> None:
    search = make(client, "a <green> tree", min_confidence=0)
    assert entries(client, search["feed_url"]) == []
    add(client, caption="leaves & \u0007 <b>")
    compare(services)
    (entry,) = entries(client, search["feed_url"])
    assert entry.findtext(f"{ATOM}title") == "leaves & \ufffd <b>"
    links = {one.get("rel"): one.attrib for one in entry.findall(f"{ATOM}link")}
    assert client.get(links["enclosure"]["href"]).content == data_of(GREEN_TREE)
    assert links["enclosure"]["length"] == str(len(data_of(GREEN_TREE)))
    moment = datetime.fromisoformat(entry.findtext(f"{ATOM}updated") or "")
    assert moment.tzinfo is not None
    first = client.get(search["feed_url"])
    again = client.get(search["feed_url"], headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_events_tell_each_match_once_across_connections(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "STREAM_SECONDS", 0.2)
    search = make(client, "anything", min_confidence=0)
    first = client.get(search["events_url"])  # nothing yet, but where to go on
    assert first.headers["content-type"].startswith("text/event-stream")
    last_id = events(first.text)[-1]["id"]
    told = []
    for name in (GREEN_TREE, "dog.jpg"):
        image_id = add(client, name)
        compare(services)
        stream = client.get(search["events_url"], headers={"Last-Event-ID": last_id})
        (event,) = events(stream.text)
        match = json.loads(event["data"])
        assert (event["event"], match["image"]["id"]) == ("match", image_id)
        last_id = event["id"]
        told.append(match)
    everything = client.get(search["events_url"], headers={"Last-Event-ID": "0"})
    assert [json.loads(one["data"]) for one in events(everything.text)] == told


def events(text: str) -> list[dict[str, str]]:
    """The events of a stream, and ids without data, by their fields."""
    blocks = [block for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_a_stream_ends_with_its_standing_search(client: TestClient) -> None:
    search = make(client)
    with ThreadPoolExecutor() as threads:
        stream = threads.submit(client.get, search["events_url"])
        time.sleep(0.2)
        assert client.delete(search["url"]).status_code == 204
        assert stream.result(SECONDS).status_code == 200
    assert client.get(search["events_url"]).status_code == 404


def test_there_are_bounds(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of standing searches in a collection, and of matches by number and by age."""
    monkeypatch.setattr(standing_search_rows, "MAX_PER_COLLECTION", 1)
    monkeypatch.setattr(match_rows, "MAX_KEPT", 2)
    search = make(client, "anything", min_confidence=0)
    assert "has 1 standing searches" in refused(client.post(PATH, json={"query": "x"}))
    ids = [add(client, name) for name in ("dog.jpg", GREEN_TREE, "blue-suv.gif")]
    compare(services)
    services.worker.standing_work.purge()
    assert found(client, search) == [ids[2], ids[1]]
    sql(
        services,
        "UPDATE standing_matches SET created_at = now() - interval '31 days' WHERE image_id = :id",
        id=ids[1],
    )
    services.worker.standing_work.purge()
    assert found(client, search) == [ids[2]]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "query"),
        ({"query": ""}, "The query is empty"),
        ({"query": []}, "query"),
        ({"query": [{"text": "a", "id": 1}]}, "a text or an id"),
        ({"query": [{"url": "http://example.org/a.png"}]}, "url"),
        ({"query": [{"id": 10**9}]}, "no picture 1000000000"),
        ({"query": "a", "filter": {"nothing": 1}}, "nothing"),
        ({"query": "a", "min_confidence": 1.1}, "min_confidence"),
        ({"query": "a", "webhook_url": "http://10.0.0.1/"}, ""),
        ({"query": "a", "feed": True}, "feed"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_a_sentence(
    client: TestClient, body: Details, says: str
) -> None:
    assert says in refused(client.post(PATH, json=body))


def test_lists_are_paged_and_of_one_collection(client: TestClient) -> None:
    made = [make(client, f"tree {n}")["id"] for n in range(3)]
    first = client.get(PATH, params={"limit": 2, "collection": "default"}).json()
    assert [one["id"] for one in first["data"]] == made[:0:-1]
    rest = client.get(PATH, params={"cursor": first["next_cursor"]}).json()
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == (made[:1], None)
    assert client.get(PATH, params={"collection": "absent"}).status_code == 404
