"""Our own tools wait as long as the server asks (issue 21, line 15)."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from urllib.error import HTTPError

import pytest

import scripts.examples
import scripts.test_api
from scripts import server_requests
from scripts.server_requests import ask
from tests.fixtures import web_server
from tests.fixtures.web_server import Site, http

LATER = http(429, "Retry-After: 3", body=b"{}")
JSON = http(200, "Content-Type: application/json", body=b'{"hits": []}')


@pytest.fixture
def site() -> Iterator[Site]:
    with web_server.serving() as site:
        yield site


def test_a_refusal_is_waited_out(site: Site) -> None:
    site.answers["/"] = LATER
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        site.answers["/"] = LATER if len(waited) < 2 else JSON

    assert ask(f"http://127.0.0.1:{site.port}/", 10, sleep) == {"hits": []}
    assert waited == [3, 3]


def test_in_the_end_it_is_told(site: Site) -> None:
    site.answers["/"] = LATER
    waited: list[float] = []
    with pytest.raises(HTTPError) as refusal:
        ask(f"http://127.0.0.1:{site.port}/", 10, waited.append)
    refusal.value.close()
    assert len(waited) == server_requests.TRIES - 1


DENIED = http(401, "Content-Type: application/problem+json", body=b'{"detail": "A key is needed."}')


@pytest.mark.parametrize(
    ("answer", "key", "told"),
    [
        (DENIED, "", "401: A key is needed.\nCreate one with `make create-key .* KEY=isk_… before"),
        (DENIED, "isk_old", "401: A key is needed.\nCreate another with `make create-key"),
        (http(404, body=b"<html>"), "", "is another program. Set IMAGE_SEARCH_API_PORT"),
        (http(200, body=b"<html>"), "", "is another program. Set IMAGE_SEARCH_API_PORT"),
        (b"", "", "No server answers at http://127.0.0.1:.* Start it with `make start`"),
    ],
)
@pytest.mark.parametrize(
    "command", [partial(scripts.test_api.main, "a tree", 4), scripts.examples.main]
)
def test_a_command_sends_its_key_and_says_what_is_missing(
    answer: bytes,
    key: str,
    told: str,
    command: Callable[[], None],
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    kept_signals: None,
) -> None:
    """Issue 19, trial at the command line: with keys on, both commands only failed."""
    monkeypatch.setenv("API_PORT", str(site.port))
    monkeypatch.setenv("KEY", key)
    site.answers["/api/v1/search"] = site.answers["/search-by-text?query=a+tree&limit=4"] = answer
    with pytest.raises(SystemExit) as end:
        command()
    assert re.search(told, str(end.value.code))
    assert site.asked[0][1]["Authorization"] == (f"Bearer {key}" if key else None)


@pytest.mark.parametrize(
    "answer",
    [
        http(429, "Retry-After: 3600", body=b"{}"),
        http(503, body=b"{}"),
        http(404, "Retry-After: 1", body=b"{}"),
    ],
)
def test_others_are_told_at_once(site: Site, answer: bytes) -> None:
    site.answers["/"] = answer
    with pytest.raises(HTTPError) as refusal:
        ask(f"http://127.0.0.1:{site.port}/", 10, lambda _: pytest.fail("it waited"))
    refusal.value.close()
