"""Every documented route, asked by everybody: who gets what is written in routes.csv."""

import csv
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from app.access import api_keys
from app.catalog.images import held_images
from app.catalog.images.held_images import Reason
from app.main import create_app
from app.runtime.services import Services
from app.settings import Settings
from app.web.routes import jobs, standing_searches
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png

MATRIX = Path(__file__).with_name("routes.csv")
CALLERS = ("nobody", "reader", "writer", "admin", "stranger")
"""The last is the admin of another namespace."""
MARK = "only-of-the-default-namespace"
OF_SEVERAL = {
    "update_collection_images",
    "delete_collection_images",
    "download_collection_images",
    "move_collection_images",
    "restore_collection_images",
}
METHODS = {"get", "post", "put", "patch", "delete"}


@dataclass
class Place:
    """The application, its callers' headers, and what there is to be asked for."""

    client: TestClient
    headers: dict[str, dict[str, str]]
    job_id: int
    services: Services

    def ask(self, caller: str, method: str, path: str, **request: Any) -> Any:
        return self.client.request(method, path, headers=self.headers[caller], **request)

    def picture(self, collection: str = "default") -> int:
        """The id of a new picture of the default namespace."""
        self.seed = getattr(self, "seed", 0) + 1
        sent = self.ask(
            "admin",
            "POST",
            "/api/v1/images",
            params={"collection": collection},
            files={"files": (f"{MARK}.png", png(self.seed))},
            data={"caption": MARK},
        )
        assert sent.status_code == 202, sent.text
        events = self.ask("admin", "GET", sent.json()["events_url"])
        assert '"status":"succeeded"' in events.text
        items = self.ask("admin", "GET", f"{sent.json()['url']}/items").json()["data"]
        self.job_id = sent.json()["job_id"]
        found: int = items[0]["image_id"]
        return found

    def external_id(self) -> str:
        """That of a new picture of the default namespace."""
        external_id = f"e{uuid4().hex[:8]}"
        path = f"/api/v1/images/{self.picture()}"
        named = self.ask("admin", "PATCH", path, json={"external_id": external_id})
        assert named.status_code == 200, named.text
        return external_id

    def collection(self) -> str:
        """The name of a new collection of the default namespace."""
        name = f"c{uuid4().hex[:8]}"
        made = self.ask("admin", "POST", "/api/v1/collections", json={"name": name})
        assert made.status_code == 201, made.text
        return name

    def held_picture(self) -> int:
        """The id of a new picture of the default namespace that waits for review."""
        image_id = self.picture()
        with self.services.sessions.begin() as session:
            assert held_images.hold(session, {image_id: Reason("s", MARK, 1.0)}) == [image_id]
        return image_id

    def label_set(self, **more: Any) -> str:
        """The name of a new one of the default namespace."""
        name = f"s{uuid4().hex[:8]}"
        path = f"/api/v1/collections/default/label-sets/{name}"
        put = self.ask("admin", "PUT", path, json={"labels": [MARK], **more})
        assert put.status_code == 201, put.text
        return name

    def golden_query(self) -> int:
        """The id of a new one of the default namespace."""
        path = "/api/v1/collections/default/golden-queries"
        added = self.ask("admin", "POST", path, json={"text": f"{MARK} {uuid4().hex}"})
        assert added.status_code == 201, added.text
        found: int = added.json()["id"]
        return found

    def standing_search(self) -> int:
        """The id of a new one of the default namespace."""
        path = "/api/v1/standing-searches"
        made = self.ask("admin", "POST", path, json={"query": MARK})
        assert made.status_code == 201, made.text
        found: int = made.json()["id"]
        return found

    def key_id(self) -> int:
        """That of a new key of the default namespace."""
        made = self.ask("admin", "POST", "/api/v1/keys", json={"name": MARK, "role": "reader"})
        assert made.status_code == 201, made.text
        found: int = made.json()["id"]
        return found

    def token(self) -> str:
        """Of an answer in the default namespace."""
        answer = self.ask("admin", "GET", "/search-by-text", params={"query": "a tree"})
        found: str = answer.headers["x-search-token"]
        return found


@pytest.fixture(scope="module")
def place(settings: Settings, services: Services, worker: None) -> Iterator[Place]:
    """Two namespaces with a collection `default` each, and a key of each role."""
    headers: dict[str, dict[str, str]] = {"nobody": {}}
    with services.sessions.begin() as session:
        for role in ("reader", "writer", "admin"):
            _, text = api_keys.create(session, "default", role, role, None)
            headers[role] = {"Authorization": f"Bearer {text}"}
        _, text = api_keys.create(session, "elsewhere", "stranger", "admin", None)
        headers["stranger"] = {"X-API-Key": text}
    with (
        local_client(create_app(settings, services)) as client,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr(jobs, "EVENT_SECONDS", 0.02)  # dozens of pictures are each waited for
        patched.setattr(standing_searches, "STREAM_SECONDS", 0.05)
        place = Place(client, headers, 0, services)
        made = place.ask("stranger", "POST", "/api/v1/collections", json={"name": "default"})
        assert made.status_code == 201, made.text
        place.picture()
        yield place


NO_GENERATION = 1_000_000

Case = tuple[str, str, str]


def operations(place: Place) -> dict[str, Case]:
    """Method, path and role, by the operations' names."""
    paths = place.client.get("/openapi.json").json()["paths"]
    return {
        operation["operationId"]: (method, path, operation.get("x-role", ""))
        for path, methods in paths.items()
        for method, operation in methods.items()
        if method in METHODS
    }


def request_of(place: Place, name: str, path: str) -> tuple[str, dict[str, Any]]:
    """A good request for what the default namespace has; what it takes away is made for it."""
    collection = place.collection() if name == "delete_collection" else "default"
    image_id = place.picture() if "{image_id}" in path or name in OF_SEVERAL else 0
    image_id = place.held_picture() if "/review/" in path else image_id
    gate = {"gate": "flag", "threshold": 1} if name == "flag_labelled" else {}
    ids = [image_id] if name in OF_SEVERAL else []
    other = place.collection() if name == "move_collection_images" else ""
    token = place.token() if name.endswith("_feedback") else ""
    external_id = place.external_id() if "{external_id}" in path else ""
    filled = path.format(
        image_id=image_id,
        job_id=place.job_id,
        name=collection,
        external_id=external_id,
        annotator="text",
        set=place.label_set(**gate) if "{set}" in path else "",
        generation_id=NO_GENERATION,
        golden_query_id=place.golden_query() if "{golden_query_id}" in path else 0,
        search_id=place.standing_search() if "{search_id}" in path else 0,
        key_id=place.key_id() if "{key_id}" in path else 0,
    )
    requests: dict[str, dict[str, Any]] = {
        "search_by_text": {"params": {"query": "a tree"}},
        "search_by_words": {"params": {"q": "a tree"}},
        "list_suggestions": {"params": {"prefix": MARK[:4]}},
        "explain": {"params": {"q": "a tree", "path": MARK}},
        "search_by_image": {"content": png(1)},
        "upload": {"files": {"file": ("a.png", png(500))}},
        "upload_images": {"files": {"file": ("a.png", png(502))}},
        "import_images": {"files": {"files": ("a.png", png(501))}},
        "search": {"json": {"query": "a tree"}},
        "classify": {"json": {"image": b64encode(png(1)).decode(), "labels": ["a", "b"]}},
        "search_batch": {"json": {"searches": [{"query": "a tree"}]}},
        "legacy_search": {"json": {"text": "tennis"}},
        "create_feedback": {"json": {"token": token, "rating": 5}},
        "withdraw_feedback": {"json": {"token": token}},
        "create_legacy_feedback": {"json": {"jwt": token, "user_feedback": 5}},
        "create_standing_search": {"json": {"query": "a tree"}},
        "create_collection": {"json": {"name": f"n{uuid4().hex[:8]}"}},
        "create_key": {"json": {"name": "phone", "role": "reader"}},
        "put_label_set": {"json": {"labels": ["a"]}},
        "update_collection": {"json": {"fields": {"place": "text"}}},
        "reindex_collection": {"json": {}},
        "evaluate_collection": {"json": {}},
        "import_golden_queries": {"files": {"file": ("q.jsonl", b'{"text": "a"}')}},
        "propose_golden_queries": {"params": {"source": "tags"}},
        "add_golden_query": {"json": {"text": uuid4().hex}},
        "replace_golden_query": {"json": {}},
        "tune_collection": {"json": {}},
        "update_image": {"json": {"caption": MARK}},
        "update_collection_images": {"json": {"ids": ids, "add_tags": [MARK]}},
        "move_collection_images": {"json": {"ids": ids, "collection": other}},
        "restore_collection_images": {"json": {"ids": ids}},
        "decide_review": {"json": {"decision": "approve"}},
        "decide_reviews": {"json": {"ids": [1], "decision": "approve"}},
        "download_collection_images": {"params": {"ids": ids}},
        "delete_collection_images": {"json": {"ids": ids}},
        "put_external_image": {"files": {"file": ("a.png", png(2_000 + place.seed))}},
    }
    return filled, requests.get(name, {})


def test_the_matrix_names_every_documented_route(place: Place) -> None:
    with MATRIX.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["operation"] for row in rows] == sorted(operations(place))


def test_everybody_gets_what_the_matrix_says(place: Place) -> None:
    with MATRIX.open(newline="") as lines:
        expected = {row["operation"]: row for row in csv.DictReader(lines)}
    met, leaks = {}, []
    for name, (method, path, role) in operations(place).items():
        met[name] = {"operation": name, "role": role or "none"}
        filled, request = request_of(place, name, path)
        for caller in CALLERS:
            answer = place.ask(caller, method.upper(), filled, **request)
            met[name][caller] = str(answer.status_code)
            if caller == "stranger" and MARK in answer.text:
                leaks.append((name, answer.text))
            if answer.is_success and method != "get":  # what was there may be so no more
                filled, request = request_of(place, name, path)
    assert met == expected
    assert leaks == []


def test_a_stranger_who_names_the_namespace_is_refused(place: Place) -> None:
    document = place.client.get("/openapi.json").json()
    named = 0
    for name, (method, path, role) in operations(place).items():
        told = document["paths"][path][method]
        takes_it = any(one["name"] == "namespace" for one in told.get("parameters", []))
        if not takes_it:
            continue
        named += 1
        filled, request = request_of(place, name, path)
        request = {**request, "params": {**request.get("params", {}), "namespace": "default"}}
        answer = place.ask("stranger", method.upper(), filled, **request)
        assert answer.status_code == 403, (name, role, answer.text)
        assert MARK not in answer.text
    assert named > 10


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/search", {"query": "a tree", "namespace": "default"}),
        ("/api/v1/classify", {"id": 1, "labels": ["a", "b"], "namespace": "default"}),
        ("/api/v1/collections", {"name": "mine", "namespace": "default"}),
        ("/api/v1/standing-searches", {"query": "a tree", "namespace": "default"}),
        ("/api/v1/keys", {"name": "mine", "role": "admin", "namespace": "default"}),
    ],
)
def test_a_stranger_who_names_it_in_the_body_is_refused(
    place: Place, path: str, body: dict[str, Any]
) -> None:
    answer = place.ask("stranger", "POST", path, json=body)
    assert answer.status_code == 403
    assert "not for default" in answer.json()["detail"]


def test_a_cursor_of_another_namespace_is_of_no_use(place: Place) -> None:
    place.picture()
    first = place.ask("reader", "POST", "/api/v1/search", json={"query": "a tree", "limit": 1})
    cursor = first.json()["next_cursor"]
    assert place.ask("reader", "POST", "/api/v1/search", json={"cursor": cursor}).status_code == 200
    answer = place.ask("stranger", "POST", "/api/v1/search", json={"cursor": cursor})
    assert answer.status_code == 403
    assert MARK not in answer.text


def test_a_stranger_takes_nothing_in_from_the_services_own_folders(
    place: Place, settings: Settings
) -> None:
    body = {"source": {"folder": str(settings.source_dir)}}
    answer = place.ask("stranger", "POST", "/api/v1/images", json=body)
    assert answer.status_code == 403
    assert "namespace default" in answer.json()["detail"]


def test_an_answer_is_explained_without_a_word_of_other_namespaces(place: Place) -> None:
    image_id = place.picture()
    for target in ({"id": image_id}, {"path": f"{MARK}.png"}):
        params = {"q": "a tree", **target}
        told = place.ask("stranger", "GET", "/api/v1/explain", params=params)
        assert told.json()["cause"] == "unknown", json.dumps(told.json())


def test_the_same_bytes_in_two_namespaces_are_two_pictures(place: Place) -> None:
    for caller in ("admin", "stranger"):
        sent = place.ask(caller, "POST", "/upload", files={"file": ("a.png", png(900))})
        assert sent.json()[0]["status"] == "stored", sent.text
    found = place.ask("stranger", "GET", "/search-by-text", params={"query": "x"}).json()
    assert [hit["path"] for hit in found] != []
    owned = place.ask("admin", "GET", "/search-by-text", params={"query": "x", "limit": 100}).json()
    assert not {hit["id"] for hit in found} & {hit["id"] for hit in owned}


def test_readyz_tells_strangers_neither_counts_nor_version(place: Place) -> None:
    told = place.client.get("/readyz").json()
    assert (told["images"], told["version"]) == (None, None)
