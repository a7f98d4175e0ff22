"""Pictures are shown by the last part of their origin, whatever a client calls its file."""

import io
import zipfile
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from app.catalog.images.image_names import last_part
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png

ATOM = "{http://www.w3.org/2005/Atom}"
STANDING = "/api/v1/standing-searches"
HOSTILE = {
    "holiday://[1].png": "[1].png",
    "a://[x.png": "[x.png",
    "a://℀.png": "℀.png",
    "https://[2].png": "[2].png",
    "http://a℀b/pier.png": "pier.png",
}
"""File names that begin like URLs and are none, with what the pictures are called."""


def test_a_picture_is_shown_whatever_its_file_was_called(
    client: TestClient, services: Services
) -> None:
    standing = client.post(STANDING, json={"query": "a tree", "min_confidence": 0}).json()
    sent = [("file", (name, png(seed))) for seed, name in enumerate(HOSTILE)]
    ids = [one["id"] for one in client.post("/upload", files=sent).json()]
    names = dict(zip(ids, HOSTILE.values(), strict=True))
    for image_id, name in names.items():
        assert client.get(f"/images/{image_id}").json()["original_filename"] == name
        assert client.get(f"/images/{image_id}/file").status_code == 200
    asked = {"query": "a tree", "include": ["original_filename"]}
    hits = client.post("/api/v1/search", json=asked).json()["hits"]
    assert {hit["id"]: hit["original_filename"] for hit in hits} == names
    listed = client.get("/api/v1/collections/default/images").json()["data"]
    assert {one["id"]: one["original_filename"] for one in listed} == names
    matches = client.post("/api/v1/search-image", json={"text": "a tree"}).json()["matches"]
    assert {one["image_name"] for one in matches} == set(names.values())
    services.worker.standing_work.tell_of_new()
    feed = ElementTree.fromstring(client.get(standing["feed_url"]).content)
    titles = {one.findtext(f"{ATOM}title") for one in feed.findall(f"{ATOM}entry")}
    assert titles == set(names.values())
    packed = client.get("/api/v1/collections/default/images/zip", params={"ids": ids})
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert set(archive.namelist()) == set(names.values())


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("s3://b/summer #3.jpg", "summer #3.jpg"),
        ("s3://b/what?.jpg", "what?.jpg"),
        ("s3://b/100%25.jpg", "100%25.jpg"),
        ("record://set/a#b.jpg", "a#b.jpg"),
        ("/pictures/100%25?.jpg", "100%25?.jpg"),
        ("https://a.example/a%20b.jpg?w=1#top", "a b.jpg"),
        ("HTTPS://a.example/a.jpg?w=1", "a.jpg"),
        ("https://a.example?key=1", ""),
    ],
)
def test_only_what_is_loaded_over_http_is_read_as_a_url(origin: str, name: str) -> None:
    assert last_part(origin) == name
