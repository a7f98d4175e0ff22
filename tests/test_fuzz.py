"""Generated requests against the API's own description: no input gives a 5xx."""

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.main import Services, create_app
from app.settings import Settings
from tests.drawing import png

import pytest
from fastapi.testclient import TestClient

EXAMPLES = 30  # for each route


@pytest.fixture(scope="module")
def api(client: TestClient) -> schemathesis.BaseSchema:
    for seed in range(3):
        client.post("/upload", files={"file": ("x", png(seed))})
    return schemathesis.openapi.from_asgi("/openapi.json", client.app)


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_the_server(case: schemathesis.Case) -> None:
    case.call_and_validate(
        checks=[not_a_server_error, content_type_conformance, response_schema_conformance,
                status_code_conformance]
    )
