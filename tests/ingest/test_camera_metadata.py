"""What a camera wrote reaches the catalog, under what people say."""

import io
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png


def photograph(seed: int) -> bytes:
    """A JPEG taken in Lisbon with a known camera."""
    exif = Image.Exif()
    exif[Base.Make], exif[Base.Model] = "Canon", "Canon EOS 5D"
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = "2024:05:06 07:08:09"
    exif.get_ifd(IFD.Exif)[Base.OffsetTimeOriginal] = "+02:00"
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
    uploads = replace(services.uploads, keep_gps=keep_gps)
    with monkeypatch.context() as patch:
        patch.setattr(
            services.registry, "default", replace(services.registry.default, uploads=uploads)
        )
        sent = client.post("/upload", files={"file": ("a.jpg", photograph(int(keep_gps)))}).json()
        image = client.get(f"/images/{sent[0]['id']}").json()
    place = {"gps": {"latitude": 38.7, "longitude": -9.1}} if keep_gps else {}
    assert image["metadata"] == {"camera": "Canon EOS 5D"} | place
    assert image["taken_at"] == "2024-05-06T05:08:09Z"
    assert image["origin"] == "a.jpg"


def test_what_people_say_wins_over_the_camera(client: TestClient) -> None:
    sent = client.post(
        "/upload",
        files={"file": ("b.jpg", photograph(7))},
        data={"metadata": '{"camera": "my old one"}'},
    ).json()
    image = client.get(f"/images/{sent[0]['id']}").json()
    assert image["metadata"] == {"camera": "my old one"}
