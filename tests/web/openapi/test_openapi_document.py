"""The OpenAPI document is complete: everything is described, shown by examples, and refusable."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from fastapi.testclient import TestClient

from app.web.problems import problems

JSON = "application/json"
PROBLEM = "application/problem+json"
PROBLEM_SCHEMA = {"$ref": "#/components/schemas/Problem"}
METHODS = ("get", "post", "put", "patch", "delete")

Node = dict[str, Any]
Operation = tuple[str, Node]


@pytest.fixture(scope="module")
def document(client: TestClient) -> Node:
    found: Node = client.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def operations(document: Node) -> list[Operation]:
    return [
        (f"{method.upper()} {path}", operations[method])
        for path, operations in document["paths"].items()
        for method in METHODS
        if method in operations
    ]


def nodes(value: Any, where: str = "#") -> Iterator[tuple[str, Node]]:
    """Every object of the document, with its place; what is shown as an example is none."""
    if isinstance(value, dict):
        yield where, value
        for key, inner in value.items():
            if key not in {"example", "examples", "default"}:
                yield from nodes(inner, f"{where}/{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from nodes(inner, f"{where}/{number}")


def says_something(text: str | None) -> bool:
    """Two words or more: `Image Id`, say, is what FastAPI makes up where nothing is said."""
    return len(re.findall(r"[^\W\d_]{2,}", text or "")) >= 2


def resolved(document: Node, schema: Node) -> Node:
    """The schema itself, where it is only referred to."""
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def examples_of(document: Node, holder: Node) -> list[Any]:
    """What a parameter or a body shows: beside its schema, or in it; a list, one by one."""
    if "example" in holder:
        return [holder["example"]]
    if "examples" in holder:
        return [one["value"] for one in holder["examples"].values()]
    schema = resolved(document, holder["schema"])
    if "examples" in schema:
        return list(schema["examples"])
    if schema.get("type") == "array":
        return [[one] for one in examples_of(document, {"schema": schema["items"]})]
    return []


def check_examples(document: Node, holder: Node, where: str) -> None:
    """It has one, and each fits the schema."""
    found = examples_of(document, holder)
    assert found, f"{where} shows no example"
    rules = {**holder["schema"], "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(rules, validate_formats=True)
    for example in found:
        faults = [f"{list(fault.instance_path)}: {fault.message}" for fault in
                  validator.iter_errors(example)]  # fmt: skip
        assert not faults, f"{where}: {faults}"


def answers(operations: list[Operation]) -> Iterator[tuple[str, int, Node]]:
    for name, operation in operations:
        for status, answer in operation["responses"].items():
            yield name, int(status), answer


def is_free(schema: Node) -> bool:
    """Whether values are texts or numbers of which nothing tells what they look like."""
    for one in schema.get("anyOf", [schema]):
        bounded = "enum" in one or "const" in one or "default" in schema
        numbered = one.get("type") in {"integer", "number"} and (
            "minimum" in one or "maximum" in one
        )
        if one.get("type") not in {"null", "boolean"} and not bounded and not numbered:
            return True
    return False


def test_every_property_is_described(document: Node) -> None:
    places = list(nodes(document))
    properties = [
        (f"{where}/{name}", schema)
        for where, node in places
        if isinstance(node.get("properties"), dict) and not where.endswith("/properties")
        for name, schema in node["properties"].items()
    ]
    assert len(properties) > 150
    silent = [
        where for where, schema in properties if not says_something(schema.get("description"))
    ]
    assert not silent


def test_every_schema_is_described(document: Node) -> None:
    silent = [
        name
        for name, schema in document["components"]["schemas"].items()
        if not says_something(schema.get("description"))
    ]
    assert not silent


def test_every_parameter_is_described_and_shown(
    document: Node, operations: list[Operation]
) -> None:
    for name, operation in operations:
        for parameter in operation.get("parameters", []):
            where = f"{name} {parameter['name']}"
            assert says_something(parameter.get("description")), where
            if is_free(parameter["schema"]) or examples_of(document, parameter):
                check_examples(document, parameter, where)


def test_every_operation_has_a_name_and_is_described(
    document: Node, operations: list[Operation]
) -> None:
    tags = {tag["name"]: tag.get("description") for tag in document["tags"]}
    assert all(says_something(told) for told in tags.values()), tags
    used = set()
    for name, operation in operations:
        assert says_something(operation["summary"]), name
        assert says_something(operation["description"]), name
        assert operation["description"][-1] in ".`", name
        assert re.fullmatch(r"[a-z]+(_[a-z0-9]+){0,3}", operation["operationId"]), name
        assert operation["tags"], name
        used |= set(operation["tags"])
    assert used == set(tags)
    names = [operation["operationId"] for _, operation in operations]
    assert len(set(names)) == len(names)


def test_every_json_body_is_shown(document: Node, operations: list[Operation]) -> None:
    shown = 0
    for name, operation in operations:
        body = operation.get("requestBody", {}).get("content", {})
        if JSON in body:
            check_examples(document, body[JSON], name)
            shown += 1
    assert shown >= 5


def test_every_successful_answer_is_described_and_shown(
    document: Node, operations: list[Operation]
) -> None:
    for name, status, answer in answers(operations):
        where = f"{name} {status}"
        assert answer["description"], where
        for header, told in answer.get("headers", {}).items():
            assert says_something(told["description"]), f"{where} {header}"
        if status < 300 and JSON in answer.get("content", {}):
            check_examples(document, answer["content"][JSON], where)


def test_every_error_is_a_problem_with_an_example(
    document: Node, operations: list[Operation]
) -> None:
    for name, status, answer in answers(operations):
        if status >= 400:
            assert list(answer["content"]) == [PROBLEM], name
            body = answer["content"][PROBLEM]
            assert body["schema"] == PROBLEM_SCHEMA, name
            assert body["example"]["status"] == status, name
            check_examples(document, body, f"{name} {status}")
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_whatever_takes_something_may_refuse_it(operations: list[Operation]) -> None:
    for name, operation in operations:
        statuses = set(operation["responses"])
        if operation.get("parameters"):
            assert "422" in statuses, name
        if "requestBody" in operation:
            assert {"400", "413", "422"} <= statuses, name
        if "{" in name:
            assert "404" in statuses, name


WITHOUT_ADDRESS = {
    *("POST /api/v1/feedback", "POST /api/v1/create-feedback", "POST /api/v1/keys"),
    "PUT /api/v1/collections/{name}/images/by-external-id/{external_id}",
}
"""What is made here is read in lists and exports alone, or at the address of the request."""


def test_a_place_that_is_told_is_documented(operations: list[Operation]) -> None:
    for name, status, answer in answers(operations):
        made = status == 201 and "/api/v1/" in name and name not in WITHOUT_ADDRESS
        if status == 202 or made:
            assert "Location" in answer["headers"], name
        if status == 503:
            assert "Retry-After" in answer["headers"], name


def test_the_document_is_as_generators_read_it(document: Node, operations: list[Operation]) -> None:
    """Issue 19, item 1: files are files, nothing is of OpenAPI 3.2, and what is open says so."""
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": "/"}]
    assert document["info"]["license"]["name"] == "MIT"
    for where, node in nodes(document):
        assert "itemSchema" not in node, where
        assert node.get("contentMediaType") != "application/octet-stream", where
    form = document["components"]["schemas"]["Body_upload"]["properties"]["file"]
    assert form["items"] == {"type": "string", "format": "binary"}
    image = document["components"]["schemas"]["SearchTerm"]["properties"]["image"]
    assert image["anyOf"][0] == {"type": "string", "contentEncoding": "base64"}
    for name, operation in operations:
        is_open = "x-role" not in operation
        assert (operation["security"] == []) is is_open, name
        assert {"405", "431"} <= set(operation["responses"]), name
    flat = dict(operations)["GET /search-by-text"]["responses"]["200"]
    assert {"X-Search-Token", "X-Model"} <= set(flat["headers"])
    job = dict(operations)["GET /api/v1/jobs/{job_id}"]["responses"]["404"]
    assert job["content"][PROBLEM]["example"]["code"] == "job_not_found"


def test_the_example_of_an_error_has_a_code_of_its_status(operations: list[Operation]) -> None:
    """Issue 19, line 1: a 429 was shown with the code of a 400."""
    known = {(int(kind.status), kind.code) for kind in problems.KINDS.values()}
    known |= set(problems.CODES.items())
    known |= {(400, "json_invalid"), (503, problems.DATABASE_UNAVAILABLE)}
    for name, status, answer in answers(operations):
        if status >= 400:
            shown = answer["content"][PROBLEM]["example"]
            assert (status, shown["code"]) in known, name


def test_the_examples_of_refusals_are_what_is_answered(
    client: TestClient, operations: list[Operation]
) -> None:
    """Issue 19, line 1: each operation shows its own 405, 415 and 422."""
    seen: Counter[int] = Counter()

    def check(status: int, operation: Node, **request: Any) -> None:
        answer = client.request(method, address, **request)
        shown = operation["responses"][str(status)]["content"][PROBLEM]["example"]
        assert answer.status_code == status, name
        told = answer.json()
        if status == 400:  # the words differ: JSON is read by two parsers
            told, shown = told["code"], shown["code"]
        assert told == shown, name
        seen[status] += 1

    for name, operation in operations:
        method, path = name.split()
        address = re.sub(r"\{\w+\}", "1", path)
        refusal = operation["responses"].get("422", {}).get("content", {}).get(PROBLEM, {})
        (fault,) = refusal.get("example", {}).get("errors", [None])
        if fault and fault["loc"][0] == "query":
            check(422, operation, params={fault["loc"][1]: "1"})
        if JSON in operation.get("requestBody", {}).get("content", {}):
            check(415, operation, content=b"x", headers={"content-type": "text/plain"})
            check(400, operation, content=b"x", headers={"content-type": JSON})
    assert seen[422] > 20
    assert seen[415] > 10
