"""What a camera wrote reaches the catalog, under what people say."""

import io
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from app.catalog.images.new_images import MetadataRules
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png


def photograph(seed: int, taken: str = "2024:05:06 07:08:09", offset: str = "+02:00") -> bytes:
    """A JPEG taken in Lisbon with a known camera."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model] = "Canon", "Canon EOS 5D"
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = taken
    exif.get_ifd(IFD.Exif)[Base.OffsetTimeOriginal] = offset
    exif.get_ifd(IFD.GPSInfo).update(
        {
            GPS.GPSLatitudeRef: "N",
            GPS.GPSLatitude: (38.0, 42.0, 0.0),
            GPS.GPSLongitudeRef: "W",
            GPS.GPSLongitude: (9.0, 6.0, 0.0),
        }
    )
    out = io.BytesIO()
    Image.open(io.BytesIO(png(seed))).convert("RGB").save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("keep_gps", [False, True])
def test_exif_is_kept_and_the_place_only_where_that_is_wanted(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch, keep_gps: bool
) -> None:
    uploads = replace(services.registry.default.uploads, rules=MetadataRules(keep_gps))
    with monkeypatch.context() as patch:
        patch.setattr(
            services.registry, "default", replace(services.registry.default, uploads=uploads)
        )
        sent = client.post("/upload", files={"file": ("a.jpg", photograph(int(keep_gps)))}).json()
        image = client.get(f"/images/{sent[0]['id']}").json()
    place = {"gps": {"latitude": 38.7, "longitude": -9.1}} if keep_gps else {}
    assert image["metadata"] == {"camera": "Canon EOS 5D"} | place
    assert image["taken_at"] == "2024-05-06T07:08:09+02:00"
    assert image["origin"] == "a.jpg"


def test_what_people_say_wins_over_the_camera(client: TestClient) -> None:
    sent = client.post(
        "/upload",
        files={"file": ("b.jpg", photograph(7))},
        data={"metadata": '{"camera": "my old one"}'},
    ).json()
    image = client.get(f"/images/{sent[0]['id']}").json()
    assert image["metadata"] == {"camera": "my old one"}


@pytest.fixture(scope="module")
def evening(client: TestClient) -> int:
    """The id of a picture of 31 May, 20:30 −07:00, which is 1 June in UTC."""
    data = photograph(8, "2026:05:31 20:30:00", "-07:00")
    sent = client.post("/upload", files={"file": ("evening.jpg", data)}).json()
    return int(sent[0]["id"])


@pytest.mark.parametrize(
    ("taken_at", "is_found"),
    [
        ({"gte": "2026-05-31", "lt": "2026-06-01"}, True),
        ({"gte": "2026-05-31", "lte": "2026-05-31T23:59:59.999"}, True),  # as the page sends it
        ({"gte": "2026-06-01"}, False),
        ("2026-05-31T20:30:00", True),
        ({"ne": "2026-05-31T20:30:00"}, False),
        ({"in": ["2026-05-31T20:30:00", "2020-01-01T00:00:00Z"]}, True),
        ({"in": ["2026-05-31", "2026-06-01T03:30:00Z"]}, True),
        ({"in": ["2026-06-01T03:30:00", "2026-05-31T20:30:00Z"]}, False),
        ({"gte": "2026-06-01T00:00:00Z"}, True),  # an instant
        ({"gte": "2026-05-31T00:00:00Z", "lte": "2026-05-31T23:59:59.999Z"}, False),
        ({"eq": "2026-05-31T20:30:00-07:00"}, True),
    ],
)
def test_a_day_is_that_of_the_place_where_a_picture_was_taken(
    client: TestClient, evening: int, taken_at: object, is_found: bool
) -> None:
    """Issue 21, line 39."""
    body = {"filter": {"and": [{"id": evening}, {"taken_at": taken_at}]}}
    hits = client.post("/api/v1/search", json=body).json()["hits"]
    assert [hit["id"] for hit in hits] == [evening] * is_found
    assert {hit["taken_at"] for hit in hits} <= {"2026-05-31T20:30:00-07:00"}
