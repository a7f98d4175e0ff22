"""Collections over HTTP: made, told of, listed, changed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.catalog import collections
from app.catalog.filters.field_names import MAX_FIELDS
from app.catalog.filters.fields import index_name
from app.database import locks
from app.runtime.services import Services
from app.web.pagination import write_cursor
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.http_jobs import IMAGES, Answer, counts, done

COLLECTIONS = "/api/v1/collections"
SEARCH = "/api/v1/search"
PROBLEM = "application/problem+json"
TYPES = {"place": "text", "stars": "number", "seen": "boolean", "day": "date", "tags": "tags"}

pytestmark = pytest.mark.usefixtures("worker")

Create = Callable[..., Answer]


@pytest.fixture
def create(client: TestClient) -> Iterator[Create]:
    """Makes collections, which are deleted after the test."""
    made: list[tuple[str, str]] = []

    def create(name: str = "one", **options: Any) -> Answer:
        answer = client.post(COLLECTIONS, json={"name": name, **options})
        if answer.status_code == 201:
            made.append((name, answer.json()["namespace"]))
        return answer

    yield create
    for name, namespace in made:
        client.delete(f"{COLLECTIONS}/{name}", params={"namespace": namespace})
    assert names(client) == ["default"]


def names(client: TestClient, **query: str | int) -> list[str]:
    page = client.get(COLLECTIONS, params=query).json()
    return [one["name"] for one in page["data"]]


def refused(answer: Answer, *words: str, status: int = 422) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    for word in words:
        assert word in answer.json()["detail"]


def field_indexes(services: Services) -> set[str]:
    rows = sql(services, r"SELECT indexname FROM pg_indexes WHERE indexname ~ '^images_\d'")
    return {name for (name,) in rows}


def test_a_collection_with_the_defaults(client: TestClient, create: Create) -> None:
    answer = create("holidays")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert answer.headers["location"] == f"{COLLECTIONS}/holidays?namespace=default"
    assert client.get(answer.headers["location"]).json() == told
    assert (told["namespace"], told["name"], told["model"]) == ("default", "holidays", "demo model")
    assert (told["storage"], told["m"], told["ef_construction"]) == ("halfvec", 16, 64)
    assert told["precision"] == "float"
    assert (told["dimensions"], told["language"], told["fields"]) == (128, "english", {})
    assert (told["image_count"], told["coverage"], told["ef_search"]) == (0, 1.0, None)
    assert len(told["fingerprint"]) == 64


def test_a_collection_with_all_options(services: Services, create: Create) -> None:
    options = {
        "namespace": "anna",
        "model": "demo model",
        "pretrained": "",
        "storage": "bit",
        "m": 8,
        "ef_construction": 40,
        "language": "german",
        "fields": TYPES,
    }
    told = create("all", **options).json()
    assert {name: told[name] for name in options} == options
    ((index_id, collection_id),) = sql(
        services, "SELECT id, collection_id FROM vector_indexes WHERE storage = 'bit'"
    )
    graph = "SELECT indexdef FROM pg_indexes WHERE indexname = :name"
    ((told_of,),) = sql(services, graph, name=f"embeddings_{index_id}_hnsw_idx")
    assert "bit_hamming_ops" in told_of
    assert "m='8'" in told_of
    assert "ef_construction='40'" in told_of
    assert field_indexes(services) == {
        index_name(collection_id, name, kind) for name, kind in TYPES.items()
    }


@pytest.mark.parametrize(
    "name", ["", "A", "-a", "_a", "a b", "ä", "a/b", "a.b", "a\n", "a\0", "a" * 64, 5]
)
def test_a_name_is_short_and_plain(client: TestClient, create: Create, name: object) -> None:
    refused(client.post(COLLECTIONS, json={"name": name}), "body name")
    refused(create("x", namespace=name), "body namespace")


def test_a_new_namespace_has_no_collection_until_one_is_created(
    client: TestClient, create: Create
) -> None:
    """It was documented nowhere that the flat routes need one called `default`."""
    search = {"query": "a pier", "namespace": "shop"}
    told = "There is no collection default in the namespace shop: create it first, by POST"
    refused(client.get("/search-by-text", params=search), told, status=404)
    assert names(client, namespace="shop") == []
    assert create("default", namespace="shop").status_code == 201
    assert client.get("/search-by-text", params=search).json() == []


def test_a_name_is_needed_and_a_namespace_is_not(client: TestClient, create: Create) -> None:
    refused(client.post(COLLECTIONS, json={"name": None}), "body name")
    assert create("x", namespace=None).json()["namespace"] == "default"


@pytest.mark.parametrize("name", ["a", "0", "a-b_c", "a" * 63, "default"])
def test_names_that_are_taken(client: TestClient, create: Create, name: str) -> None:
    assert create(name, namespace="names").status_code == 201
    refused(create(name, namespace="names"), name, "already exists", "names", status=409)


def test_the_same_name_in_two_namespaces(client: TestClient, create: Create) -> None:
    assert create("same", namespace="anna").status_code == 201
    assert create("same", namespace="ben", language="german").status_code == 201
    assert names(client, namespace="anna") == names(client, namespace="ben") == ["same"]
    told = client.get(f"{COLLECTIONS}/same", params={"namespace": "ben"}).json()
    assert (told["namespace"], told["language"]) == ("ben", "german")
    refused(client.get(f"{COLLECTIONS}/same"), "no collection same", "default", status=404)


def test_of_many_that_make_one_at_once_one_succeeds(client: TestClient, create: Create) -> None:
    """Others are made beside it, each with a partition and indexes: none waits in a circle."""
    wanted = [*["raced"] * 6, *(f"beside-{number}" for number in range(6))]
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda name: create(name, fields={"a": "text"}), wanted))
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses[:6]) == [201, *[409] * 5]
    assert statuses[6:] == [201] * 6


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"storage": "float"}, "body storage"),
        ({"m": 1}, "body m"),
        ({"m": 101, "ef_construction": 300}, "body m"),
        ({"ef_construction": 3}, "body ef_construction"),
        ({"ef_construction": 1001}, "body ef_construction"),
        ({"m": 32, "ef_construction": 63}, "ef_construction must be at least 2 m"),
        ({"m": 2.5}, "body m"),
        ({"language": "klingon"}, "it has arabic"),
        ({"language": "eng\0lish"}, "body language"),
        ({"model": "ViT-B-32", "pretrained": "x"}, "COLLECTION_MODELS names those"),
        ({"model": "local-dir:/etc"}, "COLLECTION_MODELS names those"),
        ({"pretrained": "x"}, "pretrained needs a model"),
        ({"surprise": 1}, "body surprise"),
        ({"fields": {"a b": "text"}}, "is not a field name"),
        ({"fields": {"": "text"}}, "is not a field name"),
        ({"fields": {"a'); DROP TABLE images; --": "text"}}, "is not a field name"),
        ({"fields": {"a" * 41: "text"}}, "is not a field name"),
        ({"fields": {"width": "number"}}, "is a reserved name"),
        ({"fields": {"and": "text"}}, "is a reserved name"),
        ({"fields": {"a": "blob"}}, "body fields.a"),
        ({"fields": {"a": None}}, "body fields.a"),
        ({"fields": [["a", "text"]]}, "body fields"),
        ({"fields": {f"f{number}": "text" for number in range(51)}}, "at most 50"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(
    services: Services, create: Create, body: dict[str, Any], words: str
) -> None:
    refused(create("bad", **body), words)
    assert sql(services, "SELECT name FROM collections") == [("default",)]
    assert field_indexes(services) == set()


@pytest.mark.parametrize(
    "body", [rb'{"name": "\ud800"}', rb'{"name": "a", "fields": {"\ud800": 1}}']
)
def test_halves_of_surrogate_pairs_are_refused(client: TestClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    refused(client.post(COLLECTIONS, content=body, headers=headers), "body")


def test_fifty_fields_are_indexed(services: Services, create: Create) -> None:
    kinds = list(TYPES.values())
    fields = {f"Field-{number}": kinds[number % 5] for number in range(50)}
    assert create("wide", fields=fields).json()["fields"] == fields
    assert len(field_indexes(services)) == 50


def test_pages_of_collections(client: TestClient, create: Create) -> None:
    wanted = ["a", "a-b", "a_b", "b", "c"]
    for name in reversed(wanted):
        create(name, namespace="pages")
    seen, cursor = [], None
    for _ in range(3):
        more: dict[str, str] = {"cursor": cursor} if cursor else {}
        page = client.get(COLLECTIONS, params={"namespace": "pages", "limit": 2, **more}).json()
        seen.append([one["name"] for one in page["data"]])
        cursor = page["next_cursor"]
    assert list(chain.from_iterable(seen)) == sorted(wanted)
    assert (len(seen[2]), cursor) == (1, None)
    assert names(client, namespace="pages", limit=5) == sorted(wanted)
    whole = client.get(COLLECTIONS, params={"namespace": "pages", "limit": 5}).json()
    assert whole["next_cursor"] is None
    assert names(client, namespace="nobody") == []
    refused(client.get(COLLECTIONS, params={"limit": 0}), "parameter limit")
    for cursor in ("A B", "ü", "am9iczoxNw", write_cursor("collections", "a\0b")):
        answer = client.get(COLLECTIONS, params={"cursor": cursor})
        assert answer.json()["code"] == "cursor_invalid"


def test_fields_are_added_and_dropped_with_their_indexes(
    client: TestClient, services: Services, create: Create
) -> None:
    create("one", fields={"Kept-1": "text", "gone-2": "number", "other": "text"})
    ((collection_id,),) = sql(services, "SELECT id FROM collections WHERE name = 'one'")
    kept = index_name(collection_id, "Kept-1", "text")
    oid = "SELECT indexrelid FROM pg_index WHERE indexrelid = to_regclass(:name)"
    before = sql(services, oid, name=f'"{kept}"')
    assert len(before) == 1
    fields = {"Kept-1": "text", "other": "number", "new": "tags"}
    changes = {"gone-2": None, "other": "number", "new": "tags", "never": None}
    answer = client.patch(f"{COLLECTIONS}/one", json={"fields": changes})
    assert answer.status_code == 200, answer.text
    assert answer.json()["fields"] == fields
    assert sql(services, oid, name=f'"{kept}"') == before
    names = {index_name(collection_id, name, kind) for name, kind in fields.items()}
    assert field_indexes(services) == names
    unchanged = client.patch(f"{COLLECTIONS}/one", json={"language": "simple"}).json()
    assert (unchanged["language"], unchanged["fields"]) == ("simple", fields)
    assert client.patch(f"{COLLECTIONS}/one", json={}).json() == unchanged
    assert client.patch(f"{COLLECTIONS}/one", json={"fields": {}}).json() == unchanged
    assert client.patch(f"{COLLECTIONS}/one", json={"fields": None}).json() == unchanged
    none = dict.fromkeys(fields)
    assert client.patch(f"{COLLECTIONS}/one", json={"fields": none}).json()["fields"] == {}
    assert field_indexes(services) == set()


def test_changes_at_once_leave_an_index_for_each_field_and_no_other(
    client: TestClient, services: Services, create: Create
) -> None:
    create("one")
    bodies: list[dict[str, Any]] = [{"fields": {f"f{number}": "text"}} for number in range(5)]
    bodies += [{"language": language} for language in ("german", "simple", "french")]
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda body: client.patch(f"{COLLECTIONS}/one", json=body), bodies)
        )
    assert [answer.status_code for answer in answers] == [200] * 8
    told = client.get(f"{COLLECTIONS}/one").json()
    assert told["fields"] == {f"f{number}": "text" for number in range(5)}
    assert {name.split("_", 2)[2] for name in field_indexes(services)} == {
        f"{name}_text" for name in told["fields"]
    }


def test_what_an_old_index_cannot_be_dropped_for_keeps_no_change_up(
    client: TestClient, services: Services, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone reads the pictures for hours: new indexes are built, the old ones go later."""
    monkeypatch.setattr(locks, "LOCK_ATTEMPTS", 1)
    create("one", fields={"old": "text", "other": "text"})
    ((collection_id,),) = sql(services, "SELECT id FROM collections WHERE name = 'one'")
    fields = {"old": "number", "new": "date"}
    changes = {**fields, "other": None}
    with services.search.sessions.begin() as reader:
        reader.execute(text("SELECT count(*) FROM images"))
        answer = client.patch(f"{COLLECTIONS}/one", json={"fields": changes})
        assert answer.status_code == 200, answer.text
        assert answer.json()["fields"] == fields
    wanted = {index_name(collection_id, name, kind) for name, kind in fields.items()}
    old = {index_name(collection_id, name, "text") for name in ("old", "other")}
    assert field_indexes(services) == wanted | old
    assert client.patch(f"{COLLECTIONS}/one", json={"fields": fields}).status_code == 200
    assert field_indexes(services) == wanted


def test_all_collections_together_declare_only_so_many_fields(
    client: TestClient, services: Services, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "MAX_TOTAL_FIELDS", 4)
    assert create("one", fields={"a": "text", "b": "text"}).status_code == 201
    assert create("two", fields={"a": "text", "b": "text"}).status_code == 201
    words = "all collections together would declare 5; 4 are allowed"
    refused(create("three", fields={"a": "text"}), words)
    more = {"fields": {"c": "text"}}
    refused(client.patch(f"{COLLECTIONS}/two", json=more), words)
    assert len(field_indexes(services)) == 4
    assert client.get(f"{COLLECTIONS}/two").json()["fields"] == {"a": "text", "b": "text"}
    other = {"fields": {"a": None, "b": None, "c": "number", "d": "text"}}
    answer = client.patch(f"{COLLECTIONS}/two", json=other)
    assert answer.json()["fields"] == {"c": "number", "d": "text"}
    assert create("three").status_code == 201


def test_a_change_may_declare_as_many_fields_as_a_new_collection(
    client: TestClient, create: Create
) -> None:
    create("full", fields={f"f{number}": "text" for number in range(MAX_FIELDS)})
    before = client.get(f"{COLLECTIONS}/full").json()
    path = f"{COLLECTIONS}/full"
    refused(client.patch(path, json={"fields": {"more": "text"}}), "51 of them; 50 are allowed")
    refused(client.patch(path, json={"fields": {"f0": None, "a b": "text"}}), "not a field name")
    refused(client.patch(path, json={"fields": {"f0": "texts"}}), "body fields.f0")
    assert client.get(path).json() == before
    others = {f"g{number}": "number" for number in range(MAX_FIELDS)}
    answer = client.patch(path, json={"fields": {**dict.fromkeys(before["fields"]), **others}})
    assert answer.json()["fields"] == others


def test_another_language_reads_the_words_anew(client: TestClient, create: Create) -> None:
    create("words", language="simple")
    sent = {"files": ("x.png", png(1))}
    done(
        client,
        client.post(
            IMAGES, files=sent, data={"caption": "two trees"}, params={"collection": "words"}
        ),
    )

    def found(word: str) -> int:
        asked = {"collection": "words", "query": word, "mode": "lexical"}
        answer = client.post(SEARCH, json=asked)
        assert answer.status_code == 200, answer.text
        return len(answer.json()["hits"])

    assert (found("trees"), found("tree")) == (1, 0)
    assert client.patch(f"{COLLECTIONS}/words", json={"language": "english"}).status_code == 200
    assert (found("trees"), found("tree")) == (1, 1)
    answer = client.patch(f"{COLLECTIONS}/words", json={"language": "x", "fields": {"a": "text"}})
    refused(answer, "no text search configuration 'x'")
    assert client.get(f"{COLLECTIONS}/words").json()["fields"] == {}  # nothing half-done


@pytest.mark.parametrize("storage", ["halfvec", "vector", "bit"])
def test_each_storage_finds_its_pictures_again(
    client: TestClient, services: Services, create: Create, storage: str
) -> None:
    create("kept", storage=storage)
    files = [("files", (f"{number}.png", png(number))) for number in range(4)]
    files += [("files", ("again.png", png(1, (98, 66))))]
    job = done(client, client.post(IMAGES, files=files, params={"collection": "kept"}))
    assert counts(job) == {"total": 5, "added": 5}
    listed = client.get(f"{COLLECTIONS}/kept/images").json()["data"]
    ids = {one["origin"]: one["id"] for one in listed}
    for image_id in ids.values():
        asked = {"collection": "kept", "query": [{"id": image_id}], "limit": 1}
        answer = client.post(SEARCH, json=asked).json()
        assert [hit["id"] for hit in answer["hits"]] == [image_id]
        assert answer["hits"][0]["distance"] == pytest.approx(0, abs=2e-3)
    table = f"embeddings_{answer['index_id']}"
    counted = f"SELECT count(embedding), count(full_embedding) FROM {table}"
    assert sql(services, counted) == [(0, 5) if storage == "vector" else (5, 0)]
    operators = {"halfvec": "halfvec_cosine", "vector": "vector_cosine", "bit": "bit_hamming"}
    ((graph,),) = sql(services, f"SELECT pg_get_indexdef(to_regclass('{table}_hnsw_idx'))")
    assert f"{operators[storage]}_ops" in graph
    alike = sorted([ids["1.png"], ids["again.png"]])
    query = {"collection": "kept", "kind": "semantic", "threshold": "0.01"}
    groups = client.get("/api/v1/duplicates", params=query).json()["data"]
    assert [[one["id"] for one in group["images"]] for group in groups] == [alike]


def test_a_change_that_is_refused_changes_nothing(client: TestClient, create: Create) -> None:
    create("mine", language="simple")
    create("taken")
    before = client.get(f"{COLLECTIONS}/mine").json()
    others = {"fields": {"stars": "number"}, "language": "german", "pages": "all"}
    taken = client.patch(f"{COLLECTIONS}/mine", json={"name": "taken", **others})
    assert taken.status_code == 409
    assert client.get(f"{COLLECTIONS}/mine").json() == before
    many = {"fields": {f"f{number}": "text" for number in range(MAX_FIELDS + 1)}}
    refused(client.patch(f"{COLLECTIONS}/mine", json={"name": "new", **many}), "50 are allowed")
    assert client.get(f"{COLLECTIONS}/mine").json() == before
    changed = client.patch(f"{COLLECTIONS}/mine", json={"name": "new", **others}).json()
    assert changed == {**before, **others, "name": "new"}
    assert client.delete(f"{COLLECTIONS}/new").status_code == 204


def test_a_change_that_fails_can_be_repeated_under_the_same_name(
    client: TestClient, services: Services, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone adds pictures for longer than a change of the language waits."""
    monkeypatch.setattr(locks, "LOCK_ATTEMPTS", 1)
    create("mine")
    changes = {"name": "new", "language": "german"}
    added = (
        "SELECT id FROM vector_indexes WHERE collection_id = "
        "(SELECT id FROM collections WHERE name = 'mine') FOR SHARE"
    )
    with services.search.sessions.begin() as writer:
        writer.execute(text(added))
        assert client.patch(f"{COLLECTIONS}/mine", json=changes).status_code == 503
    changed = client.patch(f"{COLLECTIONS}/mine", json=changes)
    assert changed.status_code == 200, changed.text
    assert changed.json() == {**changed.json(), **changes}
    assert client.delete(f"{COLLECTIONS}/new").status_code == 204


def test_a_collection_is_renamed(client: TestClient, create: Create) -> None:
    """Issue 19, item 12: with its pictures; the default one keeps its name."""
    create("before")
    create("taken")
    client.post("/upload?collection=before", files={"file": ("a.png", png(1))})
    assert client.patch(f"{COLLECTIONS}/before", json={"name": "taken"}).status_code == 409
    assert client.patch(f"{COLLECTIONS}/before", json={"name": "before"}).status_code == 200
    renamed = client.patch(f"{COLLECTIONS}/before", json={"name": "after"})
    assert (renamed.json()["name"], renamed.json()["image_count"]) == ("after", 1)
    assert client.get(f"{COLLECTIONS}/before").status_code == 404
    found = client.post("/api/v1/search", json={"query": "a tree", "collection": "after"})
    assert len(found.json()["hits"]) == 1
    assert client.post("/upload?collection=after", files={"file": ("b.png", png(2))}).is_success
    refused(client.patch(f"{COLLECTIONS}/default", json={"name": "other"}), "cannot be renamed")
    refused(client.patch(f"{COLLECTIONS}/after", json={"name": "Ä"}), "body name")
    assert client.delete(f"{COLLECTIONS}/after").status_code == 204
