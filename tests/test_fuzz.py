"""Generated requests against the API's own description: no input gives a 5xx."""

from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.drawing import png

EXAMPLES = 20  # for each route


@pytest.fixture(scope="module")
def api(client: TestClient) -> schemathesis.BaseSchema:
    """The application's own document, with a few pictures behind it."""
    for seed in range(3):
        client.post("/upload", files={"file": ("x", png(seed))})
    return schemathesis.openapi.from_asgi("/openapi.json", client.app)


CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]


def test_no_request_breaks_the_server(api: schemathesis.BaseSchema) -> None:
    routes = [result.ok() for result in api.get_all_operations() if isinstance(result, Ok)]
    assert len(routes) >= 9
    for route in routes:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=route.as_strategy())
        def check(case: "schemathesis.Case[Any]") -> None:
            case.call_and_validate(checks=CHECKS)

        check()
