"""Issue 16, "done when": a library of each origin is imported by one command, and found again."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.pictures.decoding import decode
from app.pictures.metadata.xmp import read_xmp
from app.runtime.services import Services
from app.settings import Settings
from scripts.commands import commands
from tests.fixtures.database_dump import dumped
from tests.fixtures.folder_jobs import sql
from tests.fixtures.libraries import (
    LONG,
    TRACES_OF_PLACE,
    darktable,
    digikam,
    iphone,
    lightroom,
    pixel,
    samsung,
    takeout_parts,
    write_libraries,
    zipped,
)

MEGAPIXELS = 50
Told = dict[str, Any]
"""What is known of a picture, by field."""

DESCRIBED: dict[str, Told] = {
    "DSC_1.NEF": {
        "caption": "Reeds at low tide",
        "tags": ["saltmarsh", "Norway", "places", "nature"],
        "rating": 4,
        "label": "Green",
        "place": {"city": "Tromso"},
        "camera": "NIKON CORPORATION Model 7",
        "taken_local": "2024-05-07 12:30:15",
    },
    "DSC_2.jpg": {"tags": ["windmill"], "taken_local": "2018-03-04 05:06:07"},
    "bird.jpg": {"tags": ["birds", "kingfisher"], "people": ["Ada Lovelace"], "rating": 5},
    "dog.jpg": {
        "tags": ["animals", "otterhound"],
        "rating": -1,
        "camera": "X-T3",
        "taken_local": "2021-02-03 04:05:06",
    },
    "IMG_0001.HEIC": {
        "camera": "iPhone 14",
        "taken_local": "2023-08-09 10:11:12",
        "taken_at": "2023-08-09T01:11:12+00:00",
    },
    "PXL_20240102_030405678.MP.jpg": {
        "camera": "Pixel 8",
        "motion": True,
        "taken_at": "2024-01-02T03:04:05+00:00",
    },
    "20220506_070809.jpg": {
        "camera": "SM-G991B",
        "motion": True,
        "taken_at": "2022-05-06T05:08:09+00:00",
    },
    "scan_1.tif": {"caption": "Letter of 1943", "frames": 2},
    "scan_2.jpg": {
        "caption": "Grandma's wedding",
        "tags": ["wedding"],
        "taken_at": "1967-05-01T12:00:00+00:00",
    },
    "pier.jpg": {
        "caption": "The pier",
        "people": ["Grandma"],
        "tags": ["Lisbon 2009"],
        "album": "Lisbon 2009",
        "taken_at": "2009-11-16T12:51:58+00:00",
    },
    "pier(1).jpg": {"caption": "The other pier"},
    "pier-edited.jpg": {"caption": "The pier", "people": ["Grandma"]},
    LONG: {"caption": "Stars", "taken_at": "2009-11-16T12:51:58+00:00"},
    "IMG_7.HEIC": {"caption": "Waves"},
}
OFTEN = {"taken_at", "taken_local", "motion_offset"}  # told only where an entry names them

ONLY_IN_XMP = {
    "saltmarsh": "DSC_1.NEF",
    "windmill": "DSC_2.jpg",
    "kingfisher": "bird.jpg",
    "otterhound": "dog.jpg",
}


@contextmanager
def environment(settings: Settings) -> Iterator[pytest.MonkeyPatch]:
    """The environment of a command; its handlers of signals go with it."""
    names = ("database_url", "postgres_dir", "test_upload_dir", "thumbnail_dir", "precision")
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TESTING", "1")
        for name in names:
            patch.setenv(name.upper(), str(getattr(settings, name)))
        yield patch
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module", autouse=True)
def imported(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every library, by one command each: a folder, and an export of Takeout."""
    folder = tmp_path_factory.mktemp("people")
    write_libraries(folder / "libraries")
    parts = [folder / f"takeout-{number:03}.zip" for number in (1, 2, 3)]
    for part, files in zip(parts, takeout_parts(), strict=True):
        part.write_bytes(zipped(files))
    with environment(settings):
        for words in (["folder", folder / "libraries"], ["takeout", *parts]):
            commands(["import", *map(str, words)], standalone_mode=False)


def told(services: Services) -> dict[str, Told]:
    columns = "coalesce(origin, path), caption, metadata, taken_at, taken_local"
    found = {}
    for path, caption, metadata, taken_at, taken_local in sql(
        services, f"SELECT {columns} FROM images"
    ):
        name = Path(path).name
        times = {"taken_at": taken_at and taken_at.isoformat(), "taken_local": str(taken_local)}
        every = {"caption": caption, **metadata, **times}
        wanted = DESCRIBED.get(name, {})
        found[name] = {
            field: value
            for field, value in every.items()
            if field in wanted or (value is not None and field not in OFTEN)
        }
    return found


def test_each_origin_says_what_its_program_wrote(services: Services) -> None:
    assert told(services) == DESCRIBED


def test_a_word_that_lies_in_xmp_alone_finds_its_picture(client: TestClient) -> None:
    for word, name in ONLY_IN_XMP.items():
        answer = client.post("/api/v1/search", json={"query": word, "mode": "lexical"}).json()
        assert [Path(hit["path"]).name for hit in answer["hits"]] == [name], word


def test_the_files_of_each_origin_do_have_a_position() -> None:
    for made in (lightroom, digikam, darktable, iphone, pixel, samsung):
        found = [
            read_xmp(data) if name.endswith(".xmp") else decode(data, MEGAPIXELS).description
            for name, data in made().items()
            if not name.endswith(".MOV")
        ]
        assert any(one.position for one in found), made.__name__


def test_no_coordinate_of_any_origin_is_anywhere_in_the_database(services: Services) -> None:
    dump = dumped(services.sessions)
    assert "saltmarsh" in dump
    assert [trace for trace in TRACES_OF_PLACE if trace in dump] == []


def test_the_films_of_live_photos_are_counted_and_not_refused(services: Services) -> None:
    jobs = sql(services, "SELECT failed, companions FROM jobs ORDER BY id")
    sidecars_and_film = 5
    assert [(job.failed, job.companions) for job in jobs] == [(0, sidecars_and_film), (0, 1)]
