import io
import math
import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from app.pictures.decoding import decode
from app.pictures.formats import PILLOW_FORMATS
from app.pictures.metadata.description import Description
from app.pictures.metadata.exif import MAX_CAMERA_CHARACTERS, read_exif
from tests.fixtures.drawn_pictures import encoded, noise

# Pillow warns of damaged tags that it then leaves out.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

MEGAPIXELS = 50
SIGNED_LONG = 9  # a TIFF type
NOON = "2024:05:07 12:30:15"
PARIS: dict[Any, Any] = {
    GPS.GPSLatitudeRef: "N",
    GPS.GPSLatitude: (48.0, 51.0, 30.0),
    GPS.GPSLongitudeRef: "E",
    GPS.GPSLongitude: (2.0, 17.0, 42.0),
}


def written(
    main: dict[Any, Any] | None = None,
    photo: dict[Any, Any] | None = None,
    gps: dict[Any, Any] | None = None,
) -> bytes:
    exif = Image.Exif()
    exif.update({Base.Software: "without one, Pillow writes nothing", **(main or {})})
    exif.get_ifd(IFD.Exif).update(photo or {})
    exif.get_ifd(IFD.GPSInfo).update(gps or {})
    return exif.tobytes()


def read(exif: bytes, kind: str = "PNG") -> Description:
    return decode(encoded(noise(1), kind, exif=exif), MEGAPIXELS).description


def taken_at(found: Description) -> datetime:
    assert found.taken is not None
    return found.taken.at()


def everything(orientation: int = 1) -> bytes:
    return written(
        {Base.Make: "Canon", Base.Model: "Canon EOS 5D", Base.Orientation: orientation},
        {Base.DateTimeOriginal: NOON, Base.OffsetTimeOriginal: "+02:00"},
        PARIS,
    )


def assert_is_everything(found: Description) -> None:
    assert taken_at(found) == datetime(2024, 5, 7, 10, 30, 15, tzinfo=UTC)
    assert taken_at(found).utcoffset() == timedelta(hours=2)
    assert found.camera == "Canon EOS 5D"
    assert found.position == pytest.approx((48.858333, 2.295), abs=1e-6)


@pytest.mark.parametrize("kind", sorted(set(PILLOW_FORMATS) - {"BMP", "GIF"}))  # they hold no Exif
def test_every_format_that_holds_exif_is_read(kind: str) -> None:
    assert_is_everything(read(everything(), kind))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "PNG"])
def test_a_picture_that_is_turned_upright_keeps_it(kind: str) -> None:
    assert_is_everything(read(everything(orientation=6), kind))


def test_a_tiff_of_several_pages_is_read() -> None:
    data = encoded(noise(1), "TIFF", exif=everything(), save_all=True, append_images=[noise(2)])
    assert_is_everything(decode(data, MEGAPIXELS).description)


def test_a_png_with_exif_behind_its_pixels_is_read() -> None:
    data = encoded(noise(1), exif=everything())
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    last = data.index(b"IEND") - 4
    moved = data[:start] + data[end:last] + data[start:end] + data[last:]
    assert_is_everything(decode(moved, MEGAPIXELS).description)


@pytest.mark.parametrize("kind", sorted(set(PILLOW_FORMATS) - {"MPO"}))
def test_a_picture_without_exif_says_nothing(kind: str) -> None:
    assert decode(encoded(noise(1), kind), MEGAPIXELS).description == Description()


@pytest.mark.parametrize(
    ("tags", "hour"),
    [
        ({Base.DateTimeOriginal: "01", Base.DateTimeDigitized: "02", Base.DateTime: "03"}, 1),
        ({Base.DateTimeDigitized: "02", Base.DateTime: "03"}, 2),
        ({Base.DateTime: "03"}, 3),
        ({Base.DateTimeOriginal: "99", Base.DateTimeDigitized: "02"}, 2),  # a bad one is passed by
    ],
)
def test_the_best_time_that_makes_sense_is_taken(tags: dict[Any, str], hour: int) -> None:
    times = {tag: f"2024:05:07 {text}:00:00" for tag, text in tags.items()}
    main = {Base.DateTime: times.pop(Base.DateTime)} if Base.DateTime in times else {}
    assert taken_at(read(written(main, times))) == datetime(2024, 5, 7, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "offset"),
    [
        (Base.DateTimeOriginal, Base.OffsetTimeOriginal),
        (Base.DateTimeDigitized, Base.OffsetTimeDigitized),
        (Base.DateTime, Base.OffsetTime),
    ],
)
def test_each_time_has_its_own_offset(time: int, offset: int) -> None:
    offsets = (Base.OffsetTimeOriginal, Base.OffsetTimeDigitized, Base.OffsetTime)
    others: dict[Any, str] = dict.fromkeys(offsets, "+09:00")
    main, photo = ({time: NOON}, {}) if time == Base.DateTime else ({}, {time: NOON})
    found = taken_at(read(written(main, {**photo, **others, offset: "-05:30"})))
    zone = timezone(-timedelta(hours=5, minutes=30))
    assert found == datetime(2024, 5, 7, 12, 30, 15, tzinfo=zone)


@pytest.mark.parametrize("offset", ["", "   :  ", "+99:00", "-01:75", "+2", "Z", "x+02:00"])
def test_an_offset_that_makes_no_sense_is_utc(offset: str) -> None:
    tags: dict[Any, str] = {Base.DateTimeOriginal: NOON, Base.OffsetTimeOriginal: offset}
    found = taken_at(read(written(photo=tags)))
    assert found == datetime(2024, 5, 7, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("2024-05-07 12:30:15", 2024),
        (" 2024:05:07T12:30:15.25", 2024),
        (NOON + "\0junk", 2024),
        ("1800:05:07 12:30:15", 1800),
        ("9998:05:07 12:30:15", 9998),
    ],
)
def test_careless_and_far_off_times_are_read(text: str, year: int) -> None:
    found = taken_at(read(written(photo={Base.DateTimeOriginal: text})))
    assert found == datetime(year, 5, 7, 12, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "    :  :     :  :  ",
        "",
        "1799:12:31 23:59:59",
        "9999:12:31 23:59:59",  # in UTC, perhaps the year 10000, which Python cannot hold
        "2023:02:29 12:00:00",
        "2024:13:01 12:00:00",
        "2024:05:07 24:00:00",
        "2024:05:07",
        "yesterday",
    ],
)
def test_a_time_that_makes_no_sense_is_none(text: str) -> None:
    found = read(written({Base.Make: "Canon"}, {Base.DateTimeOriginal: text}))
    assert found == Description(camera="Canon")


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D200", "NIKON D200"),
        ("SONY", "DSC-H2", "SONY DSC-H2"),
        ("samsung", "SAMSUNG GT", "SAMSUNG GT"),
        ("Canon", None, "Canon"),
        (None, "DSC-H2", "DSC-H2"),
        (None, None, None),
        ("  ", "\0", None),
        (" SONY\r\n", "DSC\t\x1b H2  \0left over", "SONY DSC H2"),
        ("M" * 99, "m 1", "M" * 99),  # cut before the space, which is not left hanging
        ("x" * 80, "y" * 80, "x" * 80 + " " + "y" * 19),
    ],
)
def test_a_camera_is_its_make_and_model(make: Any, model: Any, camera: str | None) -> None:
    tags = {Base.Make: make, Base.Model: model}
    exif = written({tag: value for tag, value in tags.items() if value is not None})
    assert read(exif).camera == camera


@pytest.mark.parametrize(
    ("model", "camera"), [("X\ud800Y", "X Y"), (b"X1\0", "X1"), (7, None), ((1, 2), None)]
)
def test_a_camera_is_text_that_postgres_takes(model: Any, camera: str | None) -> None:
    image = noise(1)
    image.getexif()[Base.Model] = model
    assert read_exif(image).camera == camera


@pytest.mark.parametrize(
    ("north", "east", "signs"),
    [("N", "E", (1, 1)), ("S", "E", (-1, 1)), ("N", "W", (1, -1)), ("s", "w", (-1, -1))],
)
def test_the_four_quarters_of_the_globe(north: str, east: str, signs: tuple[int, int]) -> None:
    refs = {GPS.GPSLatitudeRef: north, GPS.GPSLongitudeRef: east}
    found = read(written(gps=PARIS | refs)).position
    assert found == pytest.approx((signs[0] * 48.858333, signs[1] * 2.295), abs=1e-6)


@pytest.mark.parametrize(
    ("latitude", "longitude", "place"),
    [
        (90.0, 180.0, (90, 180)),
        (0.0, 10.0, (0, 10)),
        (10.0, 0.0, (10, 0)),
        (0.0, 0.0, None),  # a camera without a fix
    ],
)
def test_the_ends_and_the_middle_of_the_map(
    latitude: float, longitude: float, place: tuple[float, float] | None
) -> None:
    tags = {GPS.GPSLatitude: (latitude, 0.0, 0.0), GPS.GPSLongitude: (longitude, 0.0, 0.0)}
    assert read(written(gps=PARIS | tags)).position == place


@pytest.mark.parametrize("gone", sorted(PARIS))
def test_a_position_needs_all_four_tags(gone: int) -> None:
    assert read(written(gps={tag: PARIS[tag] for tag in PARIS if tag != gone})).position is None


@pytest.mark.parametrize(
    "wrong",
    [
        {GPS.GPSLatitude: (IFDRational(48, 0), 51.0, 30.0)},
        {GPS.GPSLatitude: (48.0, 51.0, IFDRational(0, 0))},
        {GPS.GPSLatitude: (90.0, 0.0, 1.0)},
        {GPS.GPSLongitude: (180.0, 0.0, 1.0)},
        {GPS.GPSLatitude: (48.0, 61.0, 0.0)},
        {GPS.GPSLatitude: (48.0, 0.0, 61.0)},
        {GPS.GPSLatitude: (48.0, 51.0)},
        {GPS.GPSLatitude: 48.0},
        {GPS.GPSLatitudeRef: "E"},
        {GPS.GPSLongitudeRef: ""},
    ],
)
def test_a_position_that_makes_no_sense_is_none(wrong: dict[Any, Any]) -> None:
    assert read(written(gps=PARIS | wrong)).position is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, "48", b"4"])
def test_a_position_of_other_types_is_none(bad: object) -> None:
    image = noise(1)
    image.getexif().get_ifd(IFD.GPSInfo).update(PARIS | {GPS.GPSLatitude: (bad, 51.0, 30.0)})
    assert read_exif(image).position is None


def test_a_damaged_directory_costs_only_itself() -> None:
    data = bytearray(everything())
    endian = ">" if data[6:8] == b"MM" else "<"
    at = data.index(struct.pack(endian + "H", IFD.GPSInfo))
    data[at + 2 : at + 4] = struct.pack(endian + "H", SIGNED_LONG)
    data[at + 8 : at + 12] = struct.pack(endian + "i", -1)  # where no file can be read
    found = read(bytes(data))
    assert (found.position, found.camera) == (None, "Canon EOS 5D")
    assert found.taken is not None


@pytest.mark.parametrize("exif", [b"no TIFF header at all", b"Exif\0\0II*\0\xff\xff\xff\xff", b"M"])
def test_damaged_exif_costs_neither_picture_nor_answer(exif: bytes) -> None:
    image = Image.open(io.BytesIO(encoded(noise(1), exif=exif)))
    image.load()
    assert read_exif(image) == Description()


def assert_storable(exif: bytes) -> None:
    image = Image.new("RGB", (1, 1))
    image.info["exif"] = exif
    found = read_exif(image)
    if found.taken is not None:
        assert found.taken.at().utcoffset() is not None
        assert 1799 <= found.taken.at().astimezone(UTC).year <= 9999
    if found.camera is not None:
        assert 0 < len(found.camera) <= MAX_CAMERA_CHARACTERS
        assert "\0" not in found.camera
        assert found.camera.encode().decode().isprintable()
    if found.position is not None:
        assert abs(found.position[0]) <= 90
        assert abs(found.position[1]) <= 180


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]), body=st.binary())
def test_any_bytes_give_what_can_be_stored(head: bytes, body: bytes) -> None:
    assert_storable(head + body)


PLACES = st.integers(14, len(everything()) - 1)  # after the header


@settings(max_examples=300, deadline=None)
@given(edits=st.dictionaries(PLACES, st.integers(0, 255), max_size=8))
def test_any_damage_gives_what_can_be_stored(edits: dict[int, int]) -> None:
    exif = bytearray(everything())
    for place, value in edits.items():
        exif[place] = value
    assert_storable(bytes(exif))
