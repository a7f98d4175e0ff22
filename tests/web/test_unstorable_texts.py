"""A NUL in an address, which no text column of Postgres holds, is a fault of the request."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from fastapi.testclient import TestClient

from tests.fixtures.drawn_pictures import png

NUL = "a\0b"
THERE = {"name": "default", "image_id": 1}
"""What leads to something, by the names of parameters; of all others an example is sent, or 1."""
ENDLESS = "/events"


def is_text(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("anyOf", [schema])
    return any(one.get("type") == "string" and "enum" not in one for one in kinds)


def fitting(parameter: Mapping[str, Any]) -> Any:
    """A value that the parameter takes."""
    examples = parameter["schema"].get("examples", [1])
    return THERE.get(parameter["name"], examples[0])


def addresses(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each request that has no body, once for each text in its address, with a NUL there.

    As its method, its path and its query.
    """
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "requestBody" in operation or path.endswith(ENDLESS):
                continue
            parameters = [
                one for one in operation.get("parameters", []) if one["in"] in {"path", "query"}
            ]
            for wrong in filter(lambda one: is_text(one["schema"]), parameters):
                sent = {one["name"]: fitting(one) for one in parameters if one.get("required")}
                sent[wrong["name"]] = NUL
                in_path = [one["name"] for one in parameters if one["in"] == "path"]
                parts = {name: quote(str(sent.pop(name))) for name in in_path}
                yield method, path.format(**parts), sent


def test_no_nul_in_an_address_is_an_error_of_the_server(client: TestClient) -> None:
    stored = client.post("/upload", files={"file": ("1.png", png(1))})
    assert stored.status_code == 201
    document = client.get("/openapi.json").json()
    asked = {
        (method, path, *query): client.request(method, path, params=query).status_code
        for method, path, query in addresses(document)
    }
    assert {one: status for one, status in asked.items() if status >= 500} == {}
    assert len(asked) > len(document["paths"])
    assert 200 in asked.values()  # some texts are never stored


def test_what_is_typed_is_told_to_hold_no_nul(client: TestClient) -> None:
    path = "/api/v1/collections/default/suggestions"
    for sent in ({"prefix": NUL}, {"prefix": NUL, "field": "tags"}, {"prefix": "a", "field": NUL}):
        answer = client.get(path, params=sent)
        assert answer.status_code == 422
        assert "without the character NUL" in answer.json()["detail"]
