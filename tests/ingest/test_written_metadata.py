"""What photo programs write into pictures and beside them is kept, searched and filtered."""

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi.testclient import TestClient

from app.catalog.images.image_changes import Change
from app.catalog.images.new_images import MetadataRules
from app.ingest.jobs.job_submission import JobOptions
from app.ingest.upload_stages import Upload
from app.pictures.metadata.place_names import PlaceNames
from app.runtime.open_collection import OpenCollection
from app.runtime.services import Services
from tests.fixtures.database_dump import dumped
from tests.fixtures.extras import needs_places
from tests.fixtures.folder_jobs import SYNC, counts, items, rows, run, sql, vectors
from tests.fixtures.http_jobs import done, send_archive
from tests.fixtures.libraries import GPS_IN_XMP, PLACE, TRACES_OF_PLACE, exif
from tests.fixtures.written_metadata import alternatives, bag, iptc, jpeg, takeout, xmp
from tests.ingest.test_camera_metadata import photograph

pytestmark = pytest.mark.usefixtures("worker")
ON_THE_PIER = {"description": "Grandma on the pier", "people": [{"name": "Ada"}, {"x": 1}]}


@pytest.fixture
def folder(services: Services, tmp_path: Path) -> Iterator[Path]:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    yield pictures
    sql(services, "DELETE FROM images")
    sql(services, "DELETE FROM skipped_files")


def row(services: Services, name: str) -> Any:
    """Caption, metadata and time of the picture of that file."""
    (found,) = sql(
        services,
        "SELECT caption, metadata, taken_at, taken_local FROM images WHERE path LIKE :end",
        end=f"%/{name}",
    )
    return found


def search(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(client: TestClient, **body: Any) -> list[str]:
    return sorted(Path(hit["path"]).name for hit in search(client, **body)["hits"])


def test_what_is_written_in_pictures_is_found_filtered_and_counted(
    client: TestClient, services: Services, folder: Path
) -> None:
    """Issue 16, line 4."""
    elements = bag("dc:subject", "quintaluna") + bag("Iptc4xmpExt:PersonInImage", "Ada Lovelace")
    attributes = (
        'xmp:Rating="5" xmp:Label="Red" photoshop:City="Lisbon" photoshop:Country="Portugal" '
        'aux:Lens="EF50mm" tiff:Make="Canon" tiff:Model="Canon EOS 5D" '
        'exif:DateTimeOriginal="2019-05-31T20:30:00+01:00"'
    )
    caption = alternatives("dc:description", default="Ein Zeppelin")
    (folder / "a.jpg").write_bytes(jpeg(1, xmp=xmp(elements + caption, attributes)))
    (folder / "b.jpg").write_bytes(jpeg(2, iim=iptc((2, 25, b"quintaluna"), (2, 90, b"Rome"))))
    (folder / "c.jpg").write_bytes(jpeg(3, xmp=xmp(attributes='xmp:Rating="-1"')))
    assert counts(run(services, folder)) == {"added": 3}
    for words in ("quintaluna", "zeppelin lovelace", "lisbon quintaluna"):
        assert "a.jpg" in names(client, query=words, mode="lexical")
    assert names(client, query="quintaluna", mode="lexical") == ["a.jpg", "b.jpg"]
    for clause in (
        {"tags": {"contains": "quintaluna"}, "rating": {"gte": 4}},
        *({"label": "Red"}, {"people": {"contains": "Ada Lovelace"}}, {"lens": "EF50mm"}),
        *({"camera": {"prefix": "Canon"}}, {"place.city": "Lisbon"}, {"rating": 5}),
        *({"taken_day": "2019-05-31"}, {"taken_day": {"prefix": "2019-"}}),
        *({"taken_hour": {"gte": 18}}, {"metadata.tags": {"contains": "quintaluna"}, "rating": 5}),
    ):
        assert names(client, filter=clause) == ["a.jpg"]
    assert names(client, filter={"rating": {"lt": 0}}) == ["c.jpg"]
    facets = ["tags", "place.city", "taken_day", "rating"]
    counted = search(client, facets=facets)["facets"]
    assert counted["tags"] == [{"value": "quintaluna", "count": 2}]
    assert {one["value"] for one in counted["place.city"]} == {"Lisbon", "Rome"}
    assert counted["taken_day"] == [{"value": "2019-05-31", "count": 1}]
    listed = search(client, order_by="-rating")["hits"]
    assert [Path(hit["path"]).name for hit in listed] == ["a.jpg", "c.jpg", "b.jpg"]


WRITTEN_VALUES: tuple[tuple[str, Any], ...] = (
    *(("tags", "quintaluna"), ("people", "Ada Lovelace"), ("rating", 5), ("label", "Red")),
    *(("place.city", "Lisbon"), ("place.state", "Estremadura"), ("place.country", "Portugal")),
    *(("camera", "Canon EOS 5D"), ("lens", "EF50mm"), ("title", "Zeppelin")),
    *(("taken_day", "2019-05-31"), ("taken_month", 5), ("taken_hour", 20)),
)


def test_every_written_field_filters_counts_and_orders(
    client: TestClient, services: Services, folder: Path
) -> None:
    """Issue 16, "What search gains"; lists have no order, and numbers no words."""
    elements = bag("dc:subject", "quintaluna") + bag("Iptc4xmpExt:PersonInImage", "Ada Lovelace")
    attributes = (
        'xmp:Rating="5" xmp:Label="Red" photoshop:City="Lisbon" photoshop:State="Estremadura" '
        'photoshop:Country="Portugal" aux:Lens="EF50mm" tiff:Make="Canon" '
        'tiff:Model="Canon EOS 5D" exif:DateTimeOriginal="2019-05-31T20:30:00+01:00"'
    )
    title = alternatives("dc:title", default="Zeppelin")
    (folder / "a.jpg").write_bytes(jpeg(1, xmp=xmp(elements + title, attributes)))
    (folder / "b.jpg").write_bytes(jpeg(2))
    run(services, folder)
    fields = [name for name, _ in WRITTEN_VALUES]
    counted = (
        search(client, facets=fields[:8])["facets"] | search(client, facets=fields[8:])["facets"]
    )
    for name, value in WRITTEN_VALUES:
        assert counted[name] == [{"value": value, "count": 1}], name
        is_list = name in {"tags", "people"}
        assert names(client, filter={name: {"contains": value} if is_list else value}) == ["a.jpg"]
        if not is_list:
            for order in (name, f"-{name}"):
                hits = search(client, order_by=order)["hits"]
                assert [Path(hit["path"]).name for hit in hits] == ["a.jpg", "b.jpg"], order
        if isinstance(value, str) and not name.startswith("taken"):
            assert names(client, query=value, mode="lexical") == ["a.jpg"], name


def test_a_misspelt_facet_is_refused_with_the_nearest(client: TestClient) -> None:
    refused = client.post("/api/v1/search", json={"facets": ["place.cty"]})
    assert refused.status_code == 422
    assert "did you mean place.city?" in refused.json()["detail"]


def test_xmp_sidecars_are_read_and_their_changes_need_no_embedding(
    services: Services, folder: Path
) -> None:
    """Issue 16, line 5."""
    inside = xmp(bag("dc:subject", "inside") + alternatives("dc:title", default="Pier"))
    (folder / "a.jpg").write_bytes(jpeg(1, xmp=inside))
    (folder / "b.jpg").write_bytes(jpeg(2))
    (folder / "b.xmp").write_bytes(xmp(attributes='photoshop:DateCreated="1967-05-01"'))
    run(services, folder, SYNC)
    assert row(services, "a.jpg").metadata == {"tags": ["inside"], "title": "Pier"}
    assert str(row(services, "b.jpg").taken_at).startswith("1967-05-01 00:00:00")
    before = vectors(services)
    sidecar = folder / "a.jpg.xmp"
    paths = bag("lr:hierarchicalSubject", "darktable|format|jpg", "sea|boat")
    sidecar.write_bytes(xmp(paths + alternatives("dc:description", default="A boat")))
    assert counts(run(services, folder, SYNC)) == {"changed": 1, "unchanged": 1}
    assert row(services, "a.jpg")[:2] == ("A boat", {"tags": ["sea", "boat"], "title": "Pier"})
    services.gallery.change(rows(services)["a.jpg"], Change("My boat", {"rating": 5}))
    sidecar.write_bytes(xmp(alternatives("dc:description", default="Ship"), 'xmp:Rating="2"'))
    os.utime(sidecar, ns=(1, 1))
    assert counts(run(services, folder, SYNC)) == {"changed": 1, "unchanged": 1}
    said = {"tags": ["inside"], "title": "Pier", "rating": 5}
    assert row(services, "a.jpg")[:2] == ("My boat", said)
    sidecar.unlink()
    (folder / "b.xmp").unlink()
    assert counts(run(services, folder, SYNC)) == {"changed": 2}
    assert row(services, "a.jpg")[:2] == ("My boat", said)
    assert row(services, "b.jpg").taken_at is None
    assert vectors(services) == before


def test_what_people_said_stays_when_the_file_changes(services: Services, folder: Path) -> None:
    first = xmp(bag("dc:subject", "one") + alternatives("dc:description", default="First"))
    (folder / "a.jpg").write_bytes(jpeg(1, xmp=first))
    run(services, folder, SYNC)
    services.gallery.change(rows(services)["a.jpg"], Change(None, {"label": "Red"}))
    (folder / "a.jpg").write_bytes(jpeg(2, xmp=xmp(bag("dc:subject", "two"), 'xmp:Label="Blue"')))
    assert counts(run(services, folder, SYNC)) == {"changed": 1}
    assert row(services, "a.jpg")[:2] == (None, {"tags": ["two"], "label": "Red"})


def test_a_picture_of_before_is_read_for_its_words_with_its_next_change(
    services: Services, folder: Path
) -> None:
    (folder / "a.jpg").write_bytes(jpeg(1, xmp=xmp(bag("dc:subject", "inside"))))
    run(services, folder, SYNC)
    old = """UPDATE images SET embedded = NULL, metadata = '{"camera": "Old", "stars": 1}', """
    old += """said_metadata = '{"stars": 1}'"""
    sql(services, old)
    (folder / "a.jpg.xmp").write_bytes(xmp(attributes='xmp:Label="Red"'))
    assert counts(run(services, folder, SYNC)) == {"changed": 1}
    assert row(services, "a.jpg").metadata == {"tags": ["inside"], "label": "Red", "stars": 1}
    sql(services, old)
    before = vectors(services)
    assert counts(run(services, folder, SYNC)) == {"unchanged": 1}
    assert counts(run(services, folder, JobOptions(reread=True))) == {"changed": 1}
    assert row(services, "a.jpg").metadata == {"tags": ["inside"], "label": "Red", "stars": 1}
    assert vectors(services) == before


def takeout_folder(folder: Path) -> None:
    """A Takeout of four pictures, an album, and a sidecar without a picture."""
    for number, name in enumerate(["a.jpg", "a(1).jpg", "a-edited.jpg", "long name.jpg"]):
        (folder / name).write_bytes(jpeg(number, exif=exif() if number else b""))
    told = takeout("a.jpg", geoData=PLACE, **ON_THE_PIER)
    (folder / "a.jpg.supplemental-metadata.json").write_bytes(told)
    (folder / "a.jpg.supplemental-metadata(1).json").write_bytes(takeout("a.jpg", people=5))
    (folder / "long name.jpg.suppl.json").write_bytes(
        takeout("long name.jpg", description="Long", geoDataExif=PLACE)
    )
    (folder / "gone.jpg.supplemental-metadata.json").write_bytes(takeout("gone.jpg", geoData=PLACE))
    (folder / "other.jpg.json").write_text('{"caption": "of no Takeout"}')
    (folder / "Metadaten.json").write_text('{"title": "Summer in Belém", "access": "protected"}')


def test_takeout_is_read_by_its_names_and_what_is_left_over_is_told(
    services: Services, folder: Path
) -> None:
    """Issue 16, lines 2 and 3."""
    takeout_folder(folder)
    job = run(services, folder, SYNC)
    assert counts(job) == {"added": 4, "failed": 1}
    assert "describes no picture" in str(
        items(services, job)["gone.jpg.supplemental-metadata.json"].reason
    )
    for name in ("a.jpg", "a-edited.jpg"):
        found = row(services, name)
        assert found.caption == "Grandma on the pier"
        assert found.metadata == {
            "people": ["Ada"],
            "album": "Summer in Belém",
            "tags": ["Summer in Belém"],
        }
        assert found.taken_at.isoformat() == "2009-11-16T12:51:58+00:00"
    album = {"album": "Summer in Belém", "tags": ["Summer in Belém"]}
    assert row(services, "a(1).jpg")[:2] == (None, album)
    assert row(services, "long name.jpg").caption == "Long"
    assert counts(run(services, folder, SYNC)) == {"unchanged": 4, "failed": 1}


def test_no_coordinate_is_kept_unless_that_is_wanted(
    client: TestClient, services: Services, folder: Path, tmp_path: Path
) -> None:
    """Issue 16, lines 2 and "done when"; the archive's sidecars pass through the job's items."""
    takeout_folder(folder)
    position = xmp(attributes=GPS_IN_XMP)
    (folder / "p.jpg").write_bytes(jpeg(9, xmp=position))
    (folder / "q.jpg").write_bytes(jpeg(10))
    (folder / "q.jpg.xmp").write_bytes(position)
    run(services, folder, SYNC)
    archive = tmp_path / "takeout.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in folder.iterdir():
            packed.writestr(f"Takeout/Photos/{path.name}", path.read_bytes())
        packed.writestr("Takeout/z.jpg", jpeg(11, exif=exif()))
    done(client, send_archive(client, archive.read_bytes()))
    dump = dumped(services.sessions)
    assert "Grandma on the pier" in dump
    assert [trace for trace in TRACES_OF_PLACE if trace in dump] == []


def test_an_archive_of_takeout_is_read_and_its_clips_are_passed_over(
    client: TestClient, services: Services, folder: Path
) -> None:
    """Issue 16, lines 3 and 13."""
    takeout_folder(folder)
    (folder / "a.MOV").write_bytes(b"\0\0\0\x14ftypqt  film")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr(f"Takeout/{path.name}", path.read_bytes())
    job = done(client, send_archive(client, packed.getvalue()))
    assert (job["total"], job["added"], job["failed"]) == (5, 4, 1)
    (found,) = sql(
        services, "SELECT caption, taken_at FROM images WHERE origin = 'Takeout/a-edited.jpg'"
    )
    assert found.caption == "Grandma on the pier"
    assert found.taken_at.isoformat() == "2009-11-16T12:51:58+00:00"


def test_the_clips_of_live_photos_are_passed_over(services: Services, folder: Path) -> None:
    """Issue 16, line 13."""
    (folder / "IMG_1.JPG").write_bytes(jpeg(1))
    (folder / "IMG_1.MOV").write_bytes(b"\0\0\0\x14ftypqt  film")
    (folder / "other.mov").write_bytes(b"\0\0\0\x14ftypqt  film")
    job = run(services, folder, SYNC)
    assert counts(job) == {"added": 1, "failed": 1}
    assert set(items(services, job)) == {"IMG_1.JPG", "other.mov"}


def test_a_time_without_an_offset_is_of_the_default_time_zone(services: Services) -> None:
    """Issue 16, line 6."""
    rules = MetadataRules(zone=ZoneInfo("Europe/Lisbon"))
    uploads = replace(services.registry.default.uploads, rules=rules)
    packet = xmp(attributes='exif:DateTimeOriginal="2019-07-01T09:00:00"')
    (outcome,) = uploads.store([Upload("summer.jpg", jpeg(40, xmp=packet))], None, {})
    assert outcome.image is not None
    assert str(outcome.image.taken_at) == "2019-07-01 08:00:00+00:00"
    assert str(outcome.image.taken_local) == "2019-07-01 09:00:00"


@needs_places
def test_places_are_named_where_nobody_says_them(
    client: TestClient, services: Services, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 16, geocoding: what is there is named by REREAD; what a file says stays."""
    told = takeout("a.jpg", geoData={"latitude": 38.711, "longitude": -9.137})
    for name in ("a.jpg", "b.jpg"):
        (folder / f"{name}.json").write_bytes(told)
    (folder / "a.jpg").write_bytes(jpeg(21))
    (folder / "b.jpg").write_bytes(jpeg(22, xmp=xmp(attributes='photoshop:City="Porto"')))
    (folder / "c.jpg").write_bytes(photograph(23))

    def places() -> list[Any]:
        named = ("a.jpg", "b.jpg", "c.jpg")
        return [row(services, name).metadata.get("place") for name in named]

    run(services, folder)
    assert places() == [None, {"city": "Porto"}, None]
    with monkeypatch.context() as patch:
        patch.setattr(services.registry, "default", naming(services.registry.default))
        assert counts(run(services, folder, JobOptions(reread=True)))["changed"] == 2
    by_takeout, said, by_camera = places()
    assert by_takeout == {"city": "Lisbon", "state": "Lisbon", "country": "Portugal"}
    assert said == {"city": "Porto"}
    assert by_camera["country"] == "Portugal"
    assert names(client, filter={"place.country": "Portugal"}) == ["a.jpg", "c.jpg"]
    assert sql(services, "SELECT 1 FROM images WHERE metadata ? 'gps'") == []
    run(services, folder, JobOptions(reread=True))  # without the setting again
    assert places() == [None, {"city": "Porto"}, None]


@needs_places
def test_places_are_named_from_the_sidecars_of_an_archive(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 16, geocoding: as in folders; what a picture's file says stays."""
    position = {"geoData": {"latitude": 38.711, "longitude": -9.137}}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.jpg", jpeg(24))
        archive.writestr("b.jpg", jpeg(25, xmp=xmp(attributes='photoshop:City="Porto"')))
        for name in ("a.jpg", "b.jpg"):
            archive.writestr(f"{name}.json", takeout(name, **position))
    monkeypatch.setattr(services.registry, "default", naming(services.registry.default))
    done(client, send_archive(client, packed.getvalue()))
    query = "SELECT origin, metadata->'place'->>'city' AS city, metadata ? 'gps' FROM images"
    assert set(sql(services, query)) == {("a.jpg", "Lisbon", False), ("b.jpg", "Porto", False)}


def naming(opened: OpenCollection) -> OpenCollection:
    """The collection as it is opened with PLACE_NAMES=1."""
    rules = MetadataRules(name_place=PlaceNames().of)
    uploads = replace(opened.uploads, rules=rules)
    context = replace(opened.batch_indexer.context, uploads=uploads)
    indexer = replace(opened.batch_indexer, context=context)
    lister = replace(opened.source_lister, name_place=rules.name_place)
    return replace(opened, uploads=uploads, batch_indexer=indexer, source_lister=lister)
