"""Issue 19, item 7: JSON over 1 kB is compressed for clients that take gzip; nothing else is."""

import gzip

import pytest
from fastapi.testclient import TestClient

from app.web.middleware.compression import MAX_PADDING
from tests.fixtures.drawn_pictures import png

SEARCH = "/search-by-text?query=a+tree"
GZIP = {"accept-encoding": "gzip"}


@pytest.fixture(scope="module", autouse=True)
def _pictures(client: TestClient) -> None:
    files = [("file", (f"{seed}.png", png(seed))) for seed in range(8)]
    assert client.post("/upload", files=files).status_code == 201


def received(client: TestClient, method: str, path: str, encoding: str) -> tuple[bytes, str | None]:
    """The body as it is on the wire, and its encoding."""
    with client.stream(method, path, headers={"accept-encoding": encoding}) as answer:
        assert answer.status_code < 400, path
        return b"".join(answer.iter_raw()), answer.headers.get("content-encoding")


@pytest.mark.parametrize("accepted", ["gzip", "br, GZIP;q=0.5", "deflate, gzip, br, zstd"])
def test_json_is_compressed_where_gzip_is_taken(client: TestClient, accepted: str) -> None:
    plain, no_encoding = received(client, "GET", SEARCH, "identity")
    small, encoding = received(client, "GET", SEARCH, accepted)
    assert (no_encoding, encoding) == (None, "gzip")
    assert gzip.decompress(small) == plain
    assert len(small) < len(plain) / 2
    answer = client.get(SEARCH, headers=GZIP)
    assert answer.headers["vary"] == "Accept-Encoding"
    assert 0 <= abs(int(answer.headers["content-length"]) - len(small)) <= MAX_PADDING


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.000", "x-gzip"])
def test_it_is_not_where_gzip_is_not_taken(client: TestClient, accepted: str) -> None:
    assert received(client, "GET", SEARCH, accepted)[1] is None


def test_the_size_of_an_answer_tells_little_of_it(client: TestClient) -> None:
    """BREACH: a signed address must not be guessed from how well it compresses beside a text."""
    path = "/openapi.json"
    sizes = {len(received(client, "GET", path, "gzip")[0]) for _ in range(8)}
    assert len(sizes) > 1


def test_head_says_the_same_as_get(client: TestClient) -> None:
    assert received(client, "HEAD", SEARCH, "gzip") == (b"", "gzip")


@pytest.mark.parametrize(
    "path", ["/healthz", "/images/1/file", "/images/1/thumbnail", "/", "/metrics"]
)
def test_small_answers_and_other_kinds_pass_as_they_are(client: TestClient, path: str) -> None:
    assert received(client, "GET", path, "gzip")[1] is None


def test_a_streams_events_are_not_held_back(client: TestClient, worker: None) -> None:
    job = client.post("/api/v1/images", files={"files": ("a.png", png(20))}).json()
    body, encoding = received(client, "GET", job["events_url"], "gzip")
    assert encoding is None
    assert b"event: end" in body


def test_a_long_problem_is_compressed_too(client: TestClient) -> None:
    names = "&".join(f"{'x' * 90}{n}=1" for n in range(10))
    answer = client.get(f"/search-by-text?query=a&{names}", headers=GZIP)
    assert (answer.status_code, answer.headers["content-encoding"]) == (422, "gzip")
    assert len(answer.json()["errors"]) == 10
