"""Our own tools wait as long as the server asks (issue 21, line 15)."""

from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

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
