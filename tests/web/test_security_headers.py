"""What answers say to browsers."""

import re
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import local_client

PAGE = "https://shop.example"


def served(settings: Settings, services: Services, *origins: str) -> TestClient:
    app = create_app(settings.model_copy(update={"cors_origins": origins}), services)
    return local_client(app)


def preflight(client: TestClient, origin: str) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "X-API-Key",
    }
    return client.options("/api/v1/search", headers=headers)


def test_no_other_origin_may_call_unless_it_is_named(
    settings: Settings, services: Services
) -> None:
    closed = served(settings, services)
    assert "access-control-allow-origin" not in preflight(closed, PAGE).headers
    answer = closed.get("/healthz", headers={"Origin": PAGE})
    assert "access-control-allow-origin" not in answer.headers
    opened = served(settings, services, PAGE)
    allowed = preflight(opened, PAGE)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    assert preflight(opened, "https://evil.example").status_code == 400
    told = opened.get("/healthz", headers={"Origin": PAGE}).headers
    assert "X-Search-Token" in told["access-control-expose-headers"]


@pytest.mark.parametrize("origins", [("*",), (PAGE,), ("*", PAGE)])
def test_the_browsers_own_credentials_are_never_allowed(
    settings: Settings, services: Services, origins: tuple[str, ...]
) -> None:
    client = served(settings, services, *origins)
    for answer in (preflight(client, PAGE), client.get("/healthz", headers={"Origin": PAGE})):
        assert answer.headers["access-control-allow-origin"] in {"*", PAGE}
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/healthz", "/images/999999", "/nowhere", "/search-by-text"])
def test_every_answer_allows_browsers_little(
    settings: Settings, services: Services, path: str
) -> None:
    client = served(settings, replace(services, gallery=None))  # type: ignore[arg-type]
    answer = client.get(path)
    assert (answer.status_code == 500) == path.startswith("/images/")
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_the_documentation_loads_scripts_of_this_service_alone(client: TestClient) -> None:
    """Issue 19, item 9: it came from a CDN, with inline scripts."""
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "https:" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "https://" not in page.text
    files = re.findall(r'(?:src|href)="(docs/[^"]+)"', page.text)
    assert len(files) == 4
    for path in files:
        answer = client.get(f"/{path}")
        assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)
    for path in ("/docs/0/swagger-ui.css", files[0].replace("favicon.png", "redoc.standalone.js")):
        assert client.get(f"/{path.removeprefix('/')}").status_code == 404


def test_pictures_are_shown_elsewhere_only_where_pages_may_call(
    settings: Settings, services: Services
) -> None:
    answer = served(settings, services, PAGE).get("/healthz")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
