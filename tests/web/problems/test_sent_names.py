"""Issue 19, item 2: what a route does not take is refused by its name, not ignored."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.drawn_pictures import png

METHODS = {"get", "post", "patch", "delete"}
PROBES = ("/healthz", "/readyz")
FILES = {"files": ("a.png", png(1))}
PICTURE = {"file": ("a.png", png(1))}


@pytest.fixture(scope="module", autouse=True)
def _holidays(client: TestClient) -> None:
    made = client.post("/api/v1/collections", json={"name": "holidays"})
    assert made.status_code == 201, made.text


def test_every_documented_route_refuses_an_unknown_parameter(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    asked = [
        (method, path)
        for path, found in paths.items()
        for method in METHODS & set(found)
        if path not in PROBES
    ]
    assert len(asked) > 30
    for method, path in asked:
        filled = re.sub(r"\{(\w+)\}", lambda part: "holidays" if part[1] == "name" else "1", path)
        answer = client.request(method, filled, params={"xyzzy": "1"})
        assert answer.status_code == 422, (method, path, answer.text)
        assert (
            "query parameter xyzzy: there is no parameter of this name" in answer.json()["detail"]
        ), path


@pytest.mark.parametrize(
    ("method", "address", "nearest"),
    [
        ("GET", "/search-by-text?query=a+tree&colection=holidays", "collection"),
        ("GET", "/search-by-text?query=a+tree&Limit=3", "limit"),
        ("POST", "/search-by-image?limt=3", "limit"),
        ("POST", "/upload?collections=holidays", "collection"),
        ("GET", "/images/1/thumbnail?sizes=64", "size"),
        ("GET", "/api/v1/jobs?statuses=running", "status"),
    ],
)
def test_the_nearest_parameter_is_named(
    client: TestClient, method: str, address: str, nearest: str
) -> None:
    answer = client.request(method, address)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(f"did you mean {nearest}?")


def test_all_unknown_parameters_are_named(client: TestClient) -> None:
    answer = client.get("/search-by-text?query=a+tree&colection=x&xyzzy=1&xyzzy=2&%00%ff=1")
    detail = answer.json()["detail"]
    assert [detail.count(name) for name in ("colection", "xyzzy", "\0")] == [1, 1, 0]
    assert "there are: collection, limit, namespace, query, thumbnail_size." in detail


@pytest.mark.parametrize("path", PROBES)
def test_health_probes_take_what_a_load_balancer_adds(client: TestClient, path: str) -> None:
    """They were answered with 422, which the document did not say."""
    assert client.get(f"{path}?x").status_code == 200
    document = client.get("/openapi.json").json()
    assert "422" not in document["paths"][path]["get"]["responses"]


def test_every_other_documented_route_says_that_it_refuses_them(client: TestClient) -> None:
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            assert path in PROBES or "422" in operation["responses"], (method, path)


def test_the_page_takes_what_it_likes(client: TestClient) -> None:
    assert client.get("/?q=a+tree&xyzzy=1").status_code == 200


@pytest.mark.parametrize(
    ("path", "sent", "words"),
    [
        ("/upload", {"files": PICTURE, "data": {"captoin": "x"}}, "did you mean caption?"),
        ("/upload", {"files": {"files": ("a.png", png(1))}}, "did you mean file?"),
        ("/search-by-image", {"files": {"files": ("a.png", png(1))}}, "did you mean file?"),
        ("/search-by-image", {"files": PICTURE, "data": {"xyzzy": "x"}}, "there are: file."),
        ("/api/v1/images", {"files": {"file": ("a.png", png(1))}}, "did you mean files?"),
        (
            "/api/v1/images",
            {"files": PICTURE, "data": {"xyzzy": "1"}},
            "archive, caption, dry_run, files, meta",
        ),
    ],
)
def test_an_unknown_form_field_is_refused(
    client: TestClient, path: str, sent: dict[str, Any], words: str
) -> None:
    answer = client.post(path, **sent)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert "there is no field of this name" in detail
    assert words in detail


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/search", {"query": "x", "xyzzy": 1}),
        ("/api/v1/search-image", {"text": "x", "xyzzy": 1}),
        ("/api/v1/create-feedback", {"jwt": "x", "user_feedback": 1, "xyzzy": 1}),
        ("/api/v1/collections", {"name": "x", "xyzzy": 1}),
        ("/api/v1/images", {"urls": ["https://example.org/a.png"], "xyzzy": 1}),
    ],
)
def test_an_unknown_key_of_a_json_body_is_refused(
    client: TestClient, path: str, body: dict[str, Any]
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert "body xyzzy" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "address", "sent", "fault"),
    [
        ("GET", "/search-by-text?query=a&query=b", {}, "query parameter query"),
        ("GET", "/api/v1/search?q=a&limit=1&limit=1&limit=2", {}, "query parameter limit"),
        ("POST", "/upload?collection=a&collection=b", {"files": PICTURE}, "query parameter"),
        ("POST", "/upload", {"files": PICTURE, "data": {"external_id": ["a", "b"]}}, "body ext"),
        ("POST", "/api/v1/images", {"data": {"caption": ["a", "b"]}, "files": FILES}, "body cap"),
        ("POST", "/search-by-image", {"files": [("file", b"x"), ("file", b"y")]}, "body file"),
        (
            "PUT",
            "/api/v1/collections/holidays/images/by-external-id/a",
            {"files": [("file", b"x"), ("file", b"y")]},
            "body file",
        ),
    ],
)
def test_what_is_sent_twice_and_is_no_list_is_refused(
    client: TestClient, method: str, address: str, sent: dict[str, Any], fault: str
) -> None:
    """A trial of issue 19: of two external ids the last one counted, without a word."""
    answer = client.request(method, address, **sent)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert detail.startswith(fault)
    assert re.search(r": it was sent [23] times; send it once\.", detail)


def test_the_flat_routes_take_a_collection(client: TestClient) -> None:
    """`POST /upload?collection=holidays` was 201 and stored into `default`."""
    place = {"namespace": "default", "collection": "holidays"}
    (stored,) = client.post("/upload", params=place, files=PICTURE).json()
    listed = client.get("/api/v1/collections/holidays/images").json()["data"]
    assert [one["id"] for one in listed] == [stored["id"]]
    for hits in (
        client.get("/search-by-text", params={**place, "query": "a tree"}).json(),
        client.post("/search-by-image", params=place, files=PICTURE).json(),
    ):
        assert [hit["id"] for hit in hits] == [stored["id"]]
    assert client.get("/search-by-text?query=a+tree").json() == []


@pytest.mark.parametrize("address", ["/search-by-text?query=x&collection=absent", "/upload"])
def test_an_absent_collection_is_not_found(client: TestClient, address: str) -> None:
    if address == "/upload":
        answer = client.post("/upload?collection=absent", files=PICTURE)
    else:
        answer = client.get(address)
    assert answer.status_code == 404


def test_lists_may_be_repeated(client: TestClient) -> None:
    """The ids of a zip, and the files of an upload."""
    path = "/api/v1/collections/holidays/images/zip"
    assert client.get(path, params={"ids": [1, 2]}).status_code == 200
    joined = client.get(path, params={"ids": "1, 2,3"})
    assert (joined.status_code, joined.json()["errors"][0]["message"]) == (
        422,
        "send a whole number each time: ids=1&ids=2",
    )
    assert client.get(path, params={"ids": "x"}).json()["errors"][0]["message"] == (
        "send a whole number"
    )
    two = [("file", ("a.png", png(31))), ("file", ("b.png", png(32)))]
    assert client.post("/upload?collection=holidays", files=two).status_code == 201
