"""Issue 19, lines 3 and 19: what is wrong with a request is told in words of HTTP and JSON.

Every field and parameter of the document is sent what it does not take; nothing of pydantic's own
words may be in an answer.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from pydantic_core._pydantic_core import list_all_errors

from app.web.aliases import ALIAS_PREFIX
from app.web.payloads.field_types import NAME, PATTERNS, name_like
from app.web.problems import validation_errors
from app.web.problems.fault_messages import BOUNDED, OTHER, PLAIN
from tests.fixtures.drawn_pictures import png

IN_ADDRESS = ("A b", "9" * 5_000, "a\0", -1, 10**30, ["1", "1"])
FORM, JSON = "multipart/form-data", "application/json"
LIMIT = 100_000  # characters and entries, at most, of what is too long

OURS = ("value_error", "assertion_error")  # their whole message is that of our own code
TEMPLATES = [
    one[key]
    for one in list_all_errors()
    for key in ("message_template_python", "message_template_json")
    if key in one and one["type"] not in OURS
]
PYDANTICS = re.compile(
    "|".join(re.sub(r"\\\{\w+\\\}", ".*", re.escape(one)) for one in TEMPLATES)
    + r"|Value error|\b(class|None|str|int|dict|instance of|pydantic|regex|validation)\b"
)

WRONG: dict[str, Any] = {
    "null": None,
    "negative": -1,
    "huge": 10**30,
    "fraction": 1.5,
    "infinite": float("inf"),
    "empty": "",
    "text": "A b",
    "digits": "9" * 5_000,
    "NUL": "a\0",
    "surrogate": "\ud800",
    "time": "2026-11-21T09:39:15",
    "array": [],
    "object": {"xyzzy": 1},
}
"""What is sent to every field at once; it suits some of them."""


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    sent = client.post("/api/v1/images", files={"files": ("a.png", png(1))})
    assert sent.json()["job_id"] == 1
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The schema behind references, and behind `… | null`."""
    while True:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        elif choices := schema.get("anyOf") or schema.get("oneOf"):
            schema = [one for one in choices if one.get("type") != "null"][-1]
        else:
            return schema


def filled(schema: dict[str, Any], document: dict[str, Any], value: Any) -> Any:
    """A body with this value in every field, those of the objects inside too."""
    schema = resolved(schema, document)
    if "properties" in schema:
        return {
            name: filled(inner, document, value) for name, inner in schema["properties"].items()
        }
    if "items" in schema and value != []:
        return [filled(schema["items"], document, value)]
    return value


def too_long(schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """A body whose every text and list has one character or entry too many."""
    schema = resolved(schema, document)
    if schema.get("maxLength", LIMIT) < LIMIT:
        return "x" * (schema["maxLength"] + 1)
    if schema.get("maxItems", LIMIT) < LIMIT:
        return [filled(schema["items"], document, 1)] * (schema["maxItems"] + 1)
    if "properties" in schema:
        return {name: too_long(inner, document) for name, inner in schema["properties"].items()}
    return 1


def json_bodies(document: dict[str, Any], content: dict[str, Any]) -> Iterator[Any]:
    schema = content[JSON]["schema"]
    yield from ([], "x", {})
    yield too_long(schema, document)
    for value in WRONG.values():
        yield filled(schema, document, value)
    for value in ("text", []):  # where an object is expected
        yield dict.fromkeys(resolved(schema, document)["properties"], value)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation but deletions and second addresses."""
    for path, found in document["paths"].items():
        for method, operation in found.items():
            if method != "delete" and not operation["operationId"].startswith(ALIAS_PREFIX):
                yield method.upper(), path, operation


def at(path: str, value: Any) -> str:
    """The path with this value in each of its places."""
    return re.sub(r"\{\w+\}", quote(str(value)), path)


def on_what_is_there(path: str) -> str:
    return re.sub(r"\{\w+\}", "1", path.replace("{name}", "default"))


def faults_of(answer: Any, what: object) -> list[dict[str, Any]]:
    """The faults in an answer, all in plain words."""
    assert answer.status_code < 500, (what, answer.text)
    told = answer.json()
    if answer.is_success or "errors" not in told:
        return []
    for fault in told["errors"]:
        message = fault["message"]
        assert not PYDANTICS.search(message), (what, fault)
        assert message != OTHER, (what, fault)
        assert not re.search(r"[\^$]|\\x", message), (what, fault)
        assert message in told["detail"], (what, told["detail"])
    found: list[dict[str, Any]] = told["errors"]
    return found


def requests_to(
    document: dict[str, Any], path: str, operation: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Addresses and what else is sent there: wrong places, parameters, forms and bodies."""
    there = on_what_is_there(path)
    content = operation.get("requestBody", {}).get("content", {})
    names = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
    if "{" in path:
        yield from ((at(path, value), {}) for value in (0, "A b", 10**30))
    if names:
        yield from ((there, {"params": dict.fromkeys(names, value)}) for value in IN_ADDRESS)
    if JSON in content:
        header = {"content-type": JSON}
        for body in json_bodies(document, content):
            yield there, {"content": json.dumps(body), "headers": header}  # infinity too
    if FORM in content:
        fields = resolved(content[FORM]["schema"], document)["properties"]
        for value in ("A\0", "x" * LIMIT, ["a", "b"]):
            yield there, {"data": dict.fromkeys(fields, value), "files": {"xyzzy": b"x"}}
            yield there, {"data": dict.fromkeys(fields, value), "files": {"file": b"x"}}


def test_no_fault_is_told_in_pydantics_words(
    client: TestClient, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation_errors, "MAX_FAULTS", 1_000)
    met = set()
    for method, path, operation in operations(document):
        for address, sent in requests_to(document, path, operation):
            answer = client.request(method, address, **sent)
            met |= {one["code"] for one in faults_of(answer, (method, address, sent))}
    assert met >= {*PLAIN, *BOUNDED}
    assert met >= {"string_pattern_mismatch", "field_unknown", "field_repeated"}


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        (
            "/api/v1/search",
            {"query": []},
            "body query: send at least 1 entry.",
        ),
        (
            "/api/v1/search",
            {"query": [{"text": "a"}, {"txt": "b"}], "limit": 0},
            "body query[1].txt: there is no field of this name; did you mean text? "
            "body limit: send a number of at least 1.",
        ),
        (
            "/api/v1/search",
            {"query": {"text": "a"}, "mode": "best"},
            "body query: send a text, or a list of terms. "
            "body mode: send one of: vector, lexical, hybrid, auto.",
        ),
        (
            "/api/v1/collections",
            {"name": "Holidays 2024"},
            "body name: send lower-case letters, digits, - and _, beginning with a letter or a "
            "digit, and 63 characters at most; for instance holidays-2024.",
        ),
        (
            "/api/v1/collections/default/images/delete",
            {"ids": ["x"] * 5_000},
            "There are 4,990 more such faults.",
        ),
        ("/api/v1/search", {"x" * 20_000: 1}, "there is no field of this name"),
    ],
)
def test_a_fault_is_a_sentence(client: TestClient, path: str, body: Any, detail: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]
    assert len(answer.text) < 5_000


def test_each_pattern_has_words(document: dict[str, Any]) -> None:
    patterns = set(re.findall(r'"pattern": (".*?[^\\]")', json.dumps(document)))
    assert {json.loads(one) for one in patterns} == {*PATTERNS}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Holidays 2024", "holidays-2024"),
        ("  My_Photos!! ", "my_photos"),
        ("Ostsee/März", "ostsee-marz"),
        ("-x-", "x"),
        ("a" * 62 + " " + "b" * 9, "a" * 62),
        ("假期", ""),
    ],
)
def test_a_valid_name_is_proposed(typed: str, name: str) -> None:
    assert name_like(typed) == name
    assert not name or re.fullmatch(NAME, name)
