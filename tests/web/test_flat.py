"""Search and upload over HTTP, as the first users' programs call them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from app.ingest.jobs.job_submission import JobOptions
from app.runtime.services import Services
from app.settings import Settings
from tests.fixtures.drawn_pictures import encoded, noise, png

PROBLEM = "application/problem+json"
DEEP = '{"a":' + "[" * 250 + "]" * 250 + "}"


def upload(client: TestClient, *files: bytes, **fields: str) -> Any:
    sent = [("file", (f"{n}.png", data)) for n, data in enumerate(files)]
    return client.post("/upload", files=sent, data=fields)


@pytest.fixture(scope="module", autouse=True)
def _some_pictures(client: TestClient) -> None:
    assert upload(client, *(png(seed) for seed in range(8))).status_code == 201


def test_a_text_search_answers_in_the_promised_shape(client: TestClient) -> None:
    answer = client.get("/search-by-text", params={"query": "a green tree", "limit": 3})
    assert answer.status_code == 200
    hits = answer.json()
    assert len(hits) == 3
    for hit in hits:
        assert list(hit) == [
            "path", "distance", "id", "score", "url", "thumbnail_url", "width", "height",
            "metadata",
        ]  # fmt: skip
        assert hit["score"] == pytest.approx(1 - hit["distance"])
        assert (hit["width"], hit["height"]) == (96, 64)
    distances = [hit["distance"] for hit in hits]
    assert distances == sorted(distances)


def test_the_demo_model_says_that_it_answers(client: TestClient) -> None:
    by_text = client.get("/search-by-text", params={"query": "a tree"})
    by_image = client.post("/search-by-image", content=png(1))
    assert by_text.headers["x-model"] == by_image.headers["x-model"] == "demo model"
    assert "demo model" in client.get("/openapi.json").json()["info"]["description"]


@pytest.mark.parametrize("kind", ["multipart", "body"])
def test_a_picture_finds_itself(client: TestClient, kind: str) -> None:
    sent: dict[str, Any] = (
        {"files": {"file": ("x.png", png(3))}} if kind == "multipart" else {"content": png(3)}
    )
    best = client.post("/search-by-image?limit=1", **sent).json()[0]
    assert best["distance"] < 0.01
    assert client.get(best["url"]).content == png(3)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"query": ""}, "empty"),
        ({"query": " \n\t"}, "empty"),
        ({"query": "x" * 1001}, "1001 characters; 1000 are allowed"),
        ({"query": "a\0b"}, "NUL"),
        ({}, "query parameter query: it is required"),
        ({"query": "x", "limit": 0}, "limit"),
        ({"query": "x", "limit": 101}, "limit"),
        ({"query": "x", "limit": "many"}, "limit"),
    ],
)
def test_a_text_search_that_has_no_answer_says_why(
    client: TestClient, params: dict[str, Any], words: str
) -> None:
    answer = client.get("/search-by-text", params=params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("raw", ["%ED%A0%80", "%FF%FE", "%F0%9F%98"])
def test_bytes_that_are_no_text_are_refused(client: TestClient, raw: str) -> None:
    """The first is half of a surrogate pair, as a careless encoder writes it."""
    answer = client.get(f"/search-by-text?query={raw}")
    assert answer.status_code == 422
    assert "UTF-8" in answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["🌳", "一棵绿色的树", "x" * 1000, "'; DROP TABLE images; --", "%"]
)
def test_any_text_is_a_query(client: TestClient, query: str) -> None:
    answer = client.get(f"/search-by-text?query={quote(query)}&limit=2")
    assert (answer.status_code, len(answer.json())) == (200, 2)


@pytest.mark.parametrize("limit", [0, 101])
def test_a_picture_search_bounds_its_limit(client: TestClient, limit: int) -> None:
    assert client.post(f"/search-by-image?limit={limit}", content=png(1)).status_code == 422


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content": b""}, 422),
        ({"files": {"other": ("x.png", png(1))}}, 422),
        ({"data": {"file": "text"}}, 415),
        ({"files": {"file": ("x.png", b"")}}, 422),
        ({"content": b"not a picture"}, 415),
        ({"content": png(1)[:60]}, 422),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, 400),
    ],
)
def test_a_picture_search_without_a_picture_says_so(
    client: TestClient, sent: dict[str, Any], status: int
) -> None:
    answer = client.post("/search-by-image", **sent)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["detail"]


def test_an_upload_is_kept_by_content_and_searchable_at_once(
    client: TestClient, settings: Settings
) -> None:
    data = encoded(noise(100), "JPEG")
    answer = client.post(
        "/upload",
        files={"file": ("../../evil name.exe", data)},
        data={"caption": "a pattern", "metadata": '{"place": "Lisbon", "tags": ["é", 1]}'},
    )
    assert answer.status_code == 201
    (stored,) = answer.json()
    assert stored["status"] == "stored"
    assert stored["filename"] == "../../evil name.exe"
    kept = [path for path in settings.storage_dir.rglob("*.jpg") if path.read_bytes() == data]
    assert [str(path) for path in kept] == [stored["path"]]
    best = client.post("/search-by-image?limit=1", content=data).json()[0]
    assert (best["id"], best["path"]) == (stored["id"], stored["path"])
    assert best["metadata"] == {"place": "Lisbon", "tags": ["é", 1]}
    assert client.get(f"/images/{stored['id']}").json()["caption"] == "a pattern"


def test_known_bytes_are_not_stored_again(client: TestClient) -> None:
    first = upload(client, png(200)).json()[0]
    again = upload(client, png(200))
    assert again.status_code == 200
    assert again.json()[0] | {"status": "stored"} == first
    assert again.json()[0]["status"] == "duplicate"


def test_the_same_bytes_twice_in_one_request_are_stored_once(client: TestClient) -> None:
    answer = upload(client, png(201), png(201))
    first, second = answer.json()
    assert answer.status_code == 201
    assert (first["status"], second["status"]) == ("stored", "duplicate")
    assert first["id"] == second["id"]


def test_some_refused_is_a_multi_status(client: TestClient) -> None:
    answer = upload(client, png(202), b"no picture", png(0))
    assert answer.status_code == 207
    assert [one["status"] for one in answer.json()] == ["stored", "refused", "duplicate"]
    refused = answer.json()[1]
    assert (refused["path"], refused["id"]) == (None, None)
    assert "not a picture" in refused["reason"]


def test_all_refused_is_a_problem_with_every_reason(client: TestClient) -> None:
    answer = upload(client, png(1, (20, 4000)), b"no picture")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert "0.png: The picture is 20 × 4000 pixels" in problem["detail"]
    assert "1.png: This is not a picture" in problem["detail"]
    assert [one["status"] for one in problem["files"]] == ["refused", "refused"]


@pytest.mark.parametrize(
    "metadata",
    [
        "[1]",
        "{",
        "NaN",
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a":' + "[" * 250 + "]" * 250 + "}",
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        "[" * 5000,
    ],
)
def test_metadata_that_is_no_storable_object_is_refused(client: TestClient, metadata: str) -> None:
    answer = upload(client, png(300), metadata=metadata)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"].startswith("metadata: ")


def test_numbers_too_large_for_json_are_kept_or_refused(client: TestClient) -> None:
    answer = upload(client, png(301), metadata=json.dumps({"a": 10**400}))
    assert answer.status_code in {201, 422}


def test_a_caption_with_a_nul_is_refused(client: TestClient) -> None:
    answer = upload(client, png(302), caption="a\0b")
    assert (answer.status_code, answer.json()["detail"][:8]) == (422, "caption:")


def test_a_name_in_a_broken_charset_is_answered(client: TestClient) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="\\ud800"\r\n\r\n'
        + png(303) + b"\r\n--x--\r\n"
    )  # fmt: skip
    for charset in ("unicode_escape", "utf-7", "undefined"):
        headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
        for path in ("/upload", "/search-by-image"):
            assert client.post(path, content=body, headers=headers).status_code < 500


def test_too_many_files_are_refused(client: TestClient) -> None:
    answer = upload(client, *([b"x"] * 101))
    assert (answer.status_code, answer.json()["detail"][:9]) == (422, "101 files")


def test_an_upload_takes_over_a_row_whose_file_is_gone(
    client: TestClient, services: Services, worker: None, tmp_path: Path
) -> None:
    lost = tmp_path / "lost.png"
    lost.write_bytes(png(304))
    services.job_submission.follow(services.job_submission.folder(tmp_path, JobOptions()))
    lost.unlink()
    said = json.dumps({"place": "Lisbon", "tags": ["sea"]})
    answer = upload(client, png(304), caption="A pier", metadata=said)
    assert answer.status_code == 201
    (stored,) = answer.json()
    assert client.get(f"/images/{stored['id']}/file").content == png(304)
    shown = client.get(f"/images/{stored['id']}").json()
    assert shown["path"] == stored["path"]
    assert shown["caption"] == "A pier"
    assert shown["metadata"] == {"place": "Lisbon", "tags": ["sea"]}


@pytest.mark.parametrize(
    ("sent", "status"),
    [({}, 422), ({"data": {"file": "text"}}, 415), ({"json": {"file": "x"}}, 415)],
)
def test_an_upload_without_files_says_so(
    client: TestClient, sent: dict[str, Any], status: int
) -> None:
    answer = client.post("/upload", **sent)
    assert answer.status_code == status
    assert "file" in answer.json()["detail"]


def test_a_body_over_the_bound_is_refused(client: TestClient) -> None:
    def growing() -> Iterator[bytes]:
        yield from (b"x" * 1_000_000 for _ in range(26))

    answer = client.post("/search-by-image", content=growing())
    assert answer.status_code == 413
    assert answer.headers["content-type"] == PROBLEM
    assert "25 MB" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/upload", "/search-by-image", "/images/1"])
def test_a_declared_length_over_the_bound_is_refused(client: TestClient, path: str) -> None:
    headers = {"content-length": "25000001", "content-type": "multipart/form-data; boundary=x"}
    answer = client.request("POST", path, headers=headers, content=b"")
    assert answer.status_code in {405, 413}
    assert answer.headers["content-type"] == PROBLEM
