"""Bursts, and pictures with their edited copies, are one hit where that is asked (issue 16)."""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.images.new_images import new_image
from app.database import connections
from app.database.tables import images
from app.pictures.decoding import decode
from app.pictures.perceptual_hash import DUPLICATE_BITS
from app.runtime.services import Services
from app.search.grouping.series_grouping import group_series
from tests.fixtures.drawn_pictures import encoded, noise, png
from tests.fixtures.folder_jobs import sql
from tests.fixtures.written_metadata import jpeg, xmp

NOON = datetime(2026, 5, 1, 12)
NEAR, FAR = (1 << DUPLICATE_BITS) - 1, -1
UUID = "3F2504E0-4F89-11D3-9A0C-0305E82C3301"


@pytest.fixture
def session(sessions: connections.Sessions) -> Iterator[Session]:
    with sessions() as opened:
        yield opened
        opened.rollback()


def grouped(session: Session, *rows: dict[str, Any]) -> list[list[int]]:
    """The places in each group, of pictures of these rows."""
    home = collections.default(session).id
    common = {"collection_id": home, "etag": "", "bytes": 1, "width": 1, "height": 1}
    filled = [
        {
            **common,
            "format": "JPEG",
            "path": f"{place}.jpg",
            "content_hash": hashlib.sha256(bytes([place])).digest(),
            "metadata": {},
            "origin": None,
            "perceptual_hash": None,
            "taken_local": None,
            **row,
        }
        for place, row in enumerate(rows)
    ]
    query = insert(images).returning(images.c.id, sort_by_parameter_order=True)
    ids = list(session.execute(query, filled).scalars())
    groups = group_series(session, [*ids, *ids[:1]])  # the last as of another page of the first
    return [[one.position, *map(ids.index, one.duplicate_ids)] for one in groups]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("p/IMG_1.jpg", "p/IMG_1-edited.jpg", "q/IMG_1.jpg"), [[0, 1], [2]]),
        (("p/IMG_1(2)-bearbeitet.jpg", "p/IMG_1.jpg", "p/IMG_1(2).jpg"), [[0, 2], [1]]),
        (("p/IMG_E0001.JPG", "p/IMG_0001.HEIC", "p/IMG_0002.HEIC"), [[0, 1], [2]]),
        (("p/a-Edit.tif", "p/a.CR2", "p/a~2.jpg", "p/ab.jpg"), [[0, 1, 2], [3]]),
        (
            (
                "00000IMG_00000_BURST20190531203000123_COVER.jpg",
                "00001IMG_00001_BURST20190531203000123.jpg",
                "00001IMG_00001_BURST20190531203000999.jpg",
            ),
            [[0, 1], [2]],
        ),
        (("IMG_2_BURST001_COVER.jpg", "IMG_2_BURST12.jpg", "IMG_3_BURST1.jpg"), [[0, 1], [2]]),
        (("20190531_203000_001.jpg", "20190531_203000_002.jpg", "20190531_1.jpg"), [[0, 1], [2]]),
        (("image.jpg", "image.png"), [[0], [1]]),  # sent without a folder: not the same picture
    ],
)
def test_names_tell_bursts_and_edited_copies(
    session: Session, names: tuple[str, ...], groups: list[list[int]]
) -> None:
    assert grouped(session, *({"origin": name} for name in names)) == groups


def test_what_cameras_write_and_when_tells_bursts(session: Session) -> None:
    burst = {"metadata": {"burst": UUID}}
    camera = {"metadata": {"camera": "Acme 1"}, "taken_local": NOON, "perceptual_hash": 0}
    later = NOON + timedelta(milliseconds=900)
    rows = (
        burst,
        camera,
        burst,
        {**camera, "taken_local": later, "perceptual_hash": NEAR},
        {**camera, "taken_local": NOON + timedelta(seconds=1)},
        {**camera, "perceptual_hash": FAR},
        {**camera, "metadata": {"camera": "Acme 2"}},
        {"taken_local": NOON, "perceptual_hash": 0},
    )
    assert grouped(session, *rows) == [[0, 2], [1, 3], [4], [5], [6], [7]]


def apple_note(uuid: str) -> bytes:
    """A note of Apple's with the number of a burst."""
    value = uuid.encode() + b"\0"
    entry = b"\0\x0b\0\2" + len(value).to_bytes(4) + (14 + 2 + 12 + 4).to_bytes(4)
    return b"Apple iOS\0\0\1MM" + b"\0\1" + entry + bytes(4) + value


def test_bursts_are_read_from_files() -> None:
    exif = noise(1).getexif()
    exif.get_ifd(0x8769)[0x927C] = apple_note(UUID)
    google = xmp(attributes=f'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" '
                            f'GCamera:BurstID="{UUID}"')  # fmt: skip
    for data in (encoded(noise(1), "JPEG", exif=exif), jpeg(1, xmp=google)):
        assert new_image("a", "", data, decode(data, 50)).metadata == {"burst": UUID}
    exif.get_ifd(0x8769)[0x927C] = apple_note(UUID)[:30]
    data = encoded(noise(1), "JPEG", exif=exif)
    assert new_image("a", "", data, decode(data, 50)).metadata == {}


def test_a_search_shows_one_of_a_series(client: TestClient, services: Services) -> None:
    names = ("IMG_2_BURST001.png", "IMG_2_BURST002.png", "other.png")
    for seed, name in enumerate(names):
        client.post("/upload", files={"file": (name, png(seed))})
    body = {"query": "a tree", "group_by": "series", "limit": 10}
    hits = client.post("/api/v1/search", json=body).json()["hits"]
    assert sorted(len(hit["duplicates"]) for hit in hits) == [0, 1]
    sql(services, "DELETE FROM images")
