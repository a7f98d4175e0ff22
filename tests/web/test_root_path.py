"""A service below a prefix of a proxy's: issue 21, line 37."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import SettingsInvalid
from app.main import create_app
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png

ROOT = "/our/pictures"


class StrippingProxy:
    """Passes on what is below ROOT, without it, and knows no other addresses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            assert scope["path"].startswith(f"{ROOT}/"), scope["path"]
            scope = {**scope, "path": scope["path"].removeprefix(ROOT)}
        await self._app(scope, receive, send)


def served(settings: Settings, services: Services, root_path: str) -> ASGIApp:
    chosen = Settings(root_path=root_path).root_path
    return create_app(settings.model_copy(update={"root_path": chosen}), services)


@pytest.fixture(scope="module", params=["stripped", "kept"])
def below(settings: Settings, services: Services, worker: None, request: Any) -> TestClient:
    """A client of a proxy that strips the prefix, and of one that does not."""
    app = served(settings, services, f"{ROOT}/")
    return local_client(StrippingProxy(app) if request.param == "stripped" else app)


def addresses_in(answer: object) -> list[str]:
    """All values of keys that end in `url`, at any depth."""
    if isinstance(answer, list):
        return [url for one in answer for url in addresses_in(one)]
    if not isinstance(answer, dict):
        return []
    own = [value for key, value in answer.items() if key.endswith("url")]
    return own + [url for value in answer.values() for url in addresses_in(value)]


def test_every_address_in_an_answer_leads_back_through_the_proxy(below: TestClient) -> None:
    files = {"file": ("x.png", png(1))}
    stored = below.post(f"{ROOT}/upload", files=files).json()[0]["id"]
    answers = [
        below.get(f"{ROOT}/search-by-text", params={"query": "a tree"}),
        below.post(f"{ROOT}/search-by-image", files=files),
        below.post(f"{ROOT}/api/v1/search", json={"query": "a tree"}),
        below.get(f"{ROOT}/api/v1/search", params={"q": "a tree"}),
        below.get(f"{ROOT}/images/{stored}"),
        below.patch(f"{ROOT}/api/v1/images/{stored}", json={"caption": "a tree"}),
        below.get(f"{ROOT}/api/v1/collections/default/images"),
        below.post(f"{ROOT}/api/v1/images", files={"files": files["file"]}),
    ]
    for answer in answers:
        found = addresses_in(answer.json())
        assert len(found) >= 2, answer.url
        assert all(url.startswith(f"{ROOT}/") for url in found), found
        assert {below.get(url).status_code for url in found} == {200}, found


def test_the_header_location_has_the_prefix(below: TestClient) -> None:
    accepted = below.post(f"{ROOT}/api/v1/images", json={"urls": ["http://127.0.0.1/x"]})
    assert accepted.headers["location"] == f"{ROOT}/api/v1/jobs/{accepted.json()['job_id']}"
    made = below.post(f"{ROOT}/api/v1/collections", json={"name": "holidays"})
    try:
        assert below.get(made.headers["location"]).json()["name"] == "holidays"
    finally:
        below.delete(f"{ROOT}/api/v1/collections/holidays")
    moved = below.get(f"{ROOT}/healthz/", follow_redirects=False)
    assert moved.headers["location"] == "../healthz"
    assert below.get(f"{ROOT}/healthz/").status_code == 200


def test_duplicates_have_the_prefix(below: TestClient) -> None:
    for caption in ("one", "two"):
        below.post(f"{ROOT}/upload", files={"file": (f"{caption}.png", png(2))})
    groups = below.get(f"{ROOT}/api/v1/duplicates", params={"kind": "semantic", "threshold": 0.5})
    found = addresses_in(groups.json())
    assert found
    assert all(below.get(url).status_code == 200 for url in found)


def test_the_page_and_the_documentation_load_below_the_prefix(below: TestClient) -> None:
    assert below.get(f"{ROOT}/").text.startswith("<!doctype html>")
    script = re.search(r'src="(docs/[^"]+)"', below.get(f"{ROOT}/docs").text)
    assert script is not None  # its addresses are relative
    assert below.get(f"{ROOT}/{script[1]}").status_code == 200
    document = below.get(f"{ROOT}/openapi.json")
    assert document.json()["servers"] == [{"url": ROOT}]
    policy = below.get(f"{ROOT}/docs").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")


def test_past_the_proxy_it_answers_as_well(settings: Settings, services: Services) -> None:
    direct = local_client(served(settings, services, ROOT))
    assert direct.get("/healthz").status_code == 200
    assert direct.get("/our/picturesque").status_code == 404
    without_slash = direct.get(ROOT, follow_redirects=False)
    assert without_slash.headers["location"] == f"{ROOT}/"
    assert without_slash.headers["x-content-type-options"] == "nosniff"
    large = {"Content-Length": str(26_000_000)}  # more than an upload may have, not than a job
    assert direct.post(f"{ROOT}/upload", headers=large).status_code == 413
    assert direct.post(f"{ROOT}/api/v1/images", headers=large).status_code != 413


def test_a_clients_header_does_not_change_addresses(
    settings: Settings, services: Services, client: TestClient
) -> None:
    """Proxies that do not know X-Forwarded-Prefix pass on what a client sends."""
    stored = client.post("/upload", files={"file": ("x.png", png(1))}).json()[0]["id"]
    told = {"X-Forwarded-Prefix": "//evil.example"}
    answer = client.get(f"/images/{stored}", headers=told).json()
    assert answer["url"].startswith(f"/api/v1/images/{stored}/file?v=")
    assert "evil" not in client.get("/docs", headers=told).text


@pytest.mark.parametrize("root_path", ["pictures", "/a b", "//evil.example", "/..", "/a?b"])
def test_a_malformed_prefix_is_refused(root_path: str) -> None:
    with pytest.raises(ValueError, match="root_path"):
        Settings(root_path=root_path)


@pytest.mark.parametrize("root_path", ["/images", "/api", "/docs/ours", "/static"])
def test_a_prefix_among_our_own_addresses_is_refused(
    settings: Settings, services: Services, root_path: str
) -> None:
    with pytest.raises(SettingsInvalid, match=f"ROOT_PATH={root_path}: the service has addresses"):
        served(settings, services, root_path)
