"""Issue 19, item 3: programs tell errors by a code, and people are told in words of HTTP."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.errors import OWN_FAULT
from app.settings import ROOT
from app.web.problems import problems
from app.web.problems.validation_errors import JSON_INVALID
from tests.fixtures.drawn_pictures import png

JSON = {"content-type": "application/json"}
OF_PYTHON = re.compile(
    r"\b(class|None|str|int|bytes|instance|Value error)\b|<|dict|Upload|pydantic"
)


def test_codes_are_distinct_and_documented() -> None:
    codes = [kind.code for kind in problems.KINDS.values()]
    assert len(set(codes)) == len(codes)
    rows = re.findall(r"^\| (`.*`) \| \d{3} \|", (ROOT / "docs/api.md").read_text(), re.MULTILINE)
    told = {code.strip(" `") for row in rows for code in row.split(",")}
    extra = {JSON_INVALID, problems.DATABASE_BUSY, problems.DATABASE_READ_ONLY}
    extra |= {problems.DATABASE_UNAVAILABLE, problems.QUERY_TOO_SLOW}
    assert told == {*codes, *problems.CODES.values(), *extra}
    assert OWN_FAULT in told
    for error, kind in problems.KINDS.items():  # those of a job's reasons
        assert error.code in {None, kind.code}


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/search-by-text?query=+", {}, 422, "query_empty"),
        ("POST", "/api/v1/search", {"json": {"query": "  "}}, 422, "query_empty"),
        ("POST", "/api/v1/search", {"json": {"filter": {"x": 1}}}, 422, "filter_invalid"),
        ("GET", "/api/v1/search?q=x&filter=x", {}, 422, "filter_invalid"),
        ("GET", "/api/v1/search?q=x&cursor=x", {}, 422, "cursor_invalid"),
        ("GET", "/api/v1/search?q=x&collection=absent", {}, 404, "collection_not_found"),
        ("GET", "/images/1", {}, 404, "image_not_found"),
        ("GET", "/absent", {}, 404, "not_found"),
        ("PUT", "/upload", {}, 405, "method_not_allowed"),
        ("POST", "/search-by-image", {"content": b"x"}, 415, "image_unsupported"),
        ("POST", "/search-by-image", {"content": png(1)[:60]}, 422, "image_corrupt"),
        ("POST", "/upload", {"files": {"file": ("a", b"x")}}, 415, "image_unsupported"),
        ("POST", "/upload", {}, 422, "request_invalid"),
    ],
)
def test_an_error_has_a_code(
    client: TestClient, method: str, path: str, sent: dict[str, Any], status: int, code: str
) -> None:
    answer = client.request(method, path, **sent)
    told = answer.json()
    assert (answer.status_code, told["code"], told["type"]) == (status, code, "about:blank")


def test_each_fault_of_a_request_has_its_place(client: TestClient) -> None:
    told = client.get("/search-by-text?limit=ten").json()
    assert told["code"] == "request_invalid"
    assert [(one["loc"], one["code"]) for one in told["errors"]] == [
        (["query", "query"], "missing"),
        (["query", "limit"], "int_parsing"),
    ]
    assert told["detail"] == " ".join(
        f"query parameter {one['loc'][1]}: {one['message']}." for one in told["errors"]
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/search", []),
        ("/api/v1/search", None),
        ("/api/v1/search", {"query": 5}),
        ("/api/v1/search", {"query": [5]}),
        ("/api/v1/search", {"query": [{"text": 5, "image": "*", "url": [], "id": "x"}]}),
        ("/api/v1/search", {"query": [{"text": "x", "id": 1}]}),
        ("/api/v1/search", {"filter": [], "facets": {}, "hybrid": [], "limit": {}}),
        ("/api/v1/collections", {"name": None, "fields": [], "hnsw": 5}),
        ("/api/v1/images", []),
        ("/api/v1/images", {"urls": {}, "metadata": [], "source": 5}),
        ("/api/v1/images", {"urls": ["x"], "source": {"folder": "x"}}),
        ("/api/v1/feedback", {"token": [], "rating": "x"}),
        ("/api/v1/collections/default/images/delete", {"ids": {}, "filter": []}),
    ],
)
def test_no_word_of_python_is_in_a_fault(client: TestClient, path: str, body: Any) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert told["errors"], told
    for fault in told["errors"]:
        assert not OF_PYTHON.search(fault["message"]), fault
        assert not any(re.search(r"[\[(]", str(part)) for part in fault["loc"]), fault


def test_a_text_in_place_of_a_file_is_told_so(client: TestClient) -> None:
    told = client.post("/upload", files={"file": (None, "text")}).json()
    assert [(one["code"], one["message"]) for one in told["errors"]] == [
        ("file_expected", "send a file here, not a text")
    ]


@pytest.mark.parametrize(
    ("body", "place", "nearest"),
    [
        ({"qurey": "x"}, ["body", "qurey"], "query"),
        ({"query": "x", "hybrid": {"alhpa": 1}}, ["body", "hybrid", "alhpa"], "alpha"),
        ({"query": [{"txt": "x"}]}, ["body", "query", 0, "txt"], "text"),
    ],
)
def test_the_nearest_key_is_named(
    client: TestClient, body: dict[str, Any], place: list[str | int], nearest: str
) -> None:
    (fault,) = client.post("/api/v1/search", json=body).json()["errors"]
    assert (fault["loc"], fault["code"]) == (place, "field_unknown")
    assert fault["message"].endswith(f"did you mean {nearest}?")


@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v1/images", "/api/v1/search-image"])
def test_broken_json_is_told_by_line_and_column(client: TestClient, path: str) -> None:
    answer = client.post(path, content=b'{\n  "text": tree\n}', headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "json_invalid")
    assert re.search(r"line 2 column \d+\.$", answer.json()["detail"])


@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v1/images", "/api/v1/search-image"])
@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_json_that_is_not_called_json_is_told_the_header(
    client: TestClient, path: str, kind: str | None
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = client.post(path, content=b'{"text": "x"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type_unsupported")
    assert "Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/upload", "/api/v1/collections/default/images"])
@pytest.mark.parametrize("kind", [None, "image/png", "application/x-www-form-urlencoded"])
def test_a_file_that_is_sent_as_it_is_is_told_to_come_in_a_form(
    client: TestClient, path: str, kind: str | None
) -> None:
    """A trial of issue 19: `curl --data-binary @photo.jpg` was told that its bytes are no field."""
    headers = {"content-type": kind} if kind else {}
    answer = client.post(path, content=png(1), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_type_unsupported")
    assert "Content-Type: multipart/form-data, as `curl -F" in answer.json()["detail"]


def test_other_names_of_json_are_taken(client: TestClient) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/x+json"):
        headers = {"content-type": kind}
        answer = client.post("/api/v1/search", content=b'{"query": "x"}', headers=headers)
        assert answer.status_code == 200, kind
