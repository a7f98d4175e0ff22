"""XMP packets as photo programs write them (issue 16, lines 4 and 6)."""

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import AnnotationInvalid
from app.pictures.metadata.description import MAX_TAGS, Description
from app.pictures.metadata.xmp import read_xmp
from app.pictures.metadata.xmp_packets import MAX_XMP_BYTES
from tests.fixtures.written_metadata import alternatives, bag, xmp

EVERYTHING = Description(
    caption="Grandma on the pier",
    title="The pier",
    tags=("pier", "Places", "Portugal", "Lisbon"),
    rating=4,
    label="Red",
    city="Lisbon",
    state="Lisboa",
    country="Portugal",
    creator="Ada, Bob",
    copyright="© Ada",
    lens="EF50mm f/1.8",
)
LISTS = (
    alternatives("dc:description", de="Oma", default="Grandma on the pier")
    + alternatives("dc:title", default="The pier")
    + alternatives("dc:rights", default="© Ada")
    + bag("dc:creator", "Ada", "Bob", kind="Seq")
    + bag("dc:subject", "pier", "Lisbon")
    + bag("lr:hierarchicalSubject", "pier", "Places|Portugal|Lisbon")
)


def test_a_packet_in_attributes_as_lightroom_writes_it() -> None:
    attributes = (
        'xmp:Rating="4" xmp:Label="Red" photoshop:City="Lisbon" photoshop:State="Lisboa" '
        'photoshop:Country="Portugal" aux:Lens="EF50mm f/1.8"'
    )
    found = read_xmp(xmp(LISTS, attributes))
    assert found == Description(**vars(EVERYTHING) | {"tags": found.tags})
    assert set(found.tags) == set(EVERYTHING.tags)


def test_a_packet_in_elements_as_digikam_writes_it() -> None:
    elements = (
        "<xmp:Rating>4</xmp:Rating><xmp:Label>Red</xmp:Label>"
        "<photoshop:City> Lisbon\n</photoshop:City><photoshop:State>Lisboa</photoshop:State>"
        "<photoshop:Country>Portugal</photoshop:Country><aux:Lens>EF50mm f/1.8</aux:Lens>"
    )
    digikam = LISTS.replace("lr:hierarchicalSubject", "digiKam:TagsList").replace("|", "/")
    found = read_xmp(xmp(elements + digikam))
    assert found == Description(**vars(EVERYTHING) | {"tags": found.tags})
    assert set(found.tags) == set(EVERYTHING.tags)


def test_darktables_own_tags_are_left_out() -> None:
    """Issue 16, line 5."""
    paths = bag("lr:hierarchicalSubject", "darktable|format|jpg", "darktable|changed", "sea|boat")
    subjects = bag("dc:subject", "boat", "darktable", "format", "jpg", "sea", "darktable|changed")
    assert read_xmp(xmp(subjects + paths)).tags == ("boat", "sea")


@pytest.mark.parametrize(
    ("attributes", "rating"),
    [
        ('xmp:Rating="-1"', -1),
        ('xmp:Rating="5"', 5),
        ('xmp:Rating="3.5"', 3.5),
        ('xmp:Rating="0"', 0),
        ('xmp:Rating="6"', None),
        ('xmp:Rating="nan"', None),
        ('xmp:Rating="much"', None),
        ('MicrosoftPhoto:Rating="99"', 5),
        ('MicrosoftPhoto:Rating="25"', 2),
        ('MicrosoftPhoto:Rating="99" xmp:Rating="3"', 3),
        ('MicrosoftPhoto:Rating="0"', None),
    ],
)
def test_ratings_are_those_of_their_namespace(attributes: str, rating: float | None) -> None:
    assert read_xmp(xmp(attributes=attributes)).rating == rating


def test_people_are_named_by_the_iptc_and_by_the_regions_of_their_faces() -> None:
    region = (
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>'
        '<rdf:li><rdf:Description mwg-rs:Name="Ada" mwg-rs:Type="Face"/></rdf:li>'
        '<rdf:li rdf:parseType="Resource"><mwg-rs:Name>Bob</mwg-rs:Name>'
        "<mwg-rs:Type>Face</mwg-rs:Type></rdf:li>"
        '<rdf:li><rdf:Description mwg-rs:Name="Rex" mwg-rs:Type="Pet"/></rdf:li>'
        "</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
        '<MP:RegionInfo><rdf:Description MPReg:PersonDisplayName="Cy"/></MP:RegionInfo>'
    )
    people = bag("Iptc4xmpExt:PersonInImage", "Ada", "Dee")
    assert read_xmp(xmp(region + people)).people == ("Ada", "Dee", "Bob", "Cy")


def test_what_other_pictures_say_inside_the_packet_is_not_this_ones() -> None:
    inner = bag("xmpMM:Pantry", '<rdf:Description xmp:Label="Blue"/>')
    assert read_xmp(xmp(inner)) == Description()


@pytest.mark.parametrize(
    ("attributes", "local", "offset"),
    [
        ('exif:DateTimeOriginal="2009-11-16T12:51:58"', datetime(2009, 11, 16, 12, 51, 58), None),
        ('photoshop:DateCreated="2009-11-16"', datetime(2009, 11, 16), None),
        ('xmp:CreateDate="2009-11-16T12:51Z"', datetime(2009, 11, 16, 12, 51), 0),
        (
            'exif:DateTimeOriginal="2009-11-16T12:51:58.5+05:30"',
            datetime(2009, 11, 16, 12, 51, 58, 500_000),
            330,
        ),
        (
            'xmp:CreateDate="2020-01-01" photoshop:DateCreated="1967-05-01"',  # a scan
            datetime(1967, 5, 1),
            None,
        ),
    ],
)
def test_a_date_is_local_with_its_offset_if_that_is_written(
    attributes: str, local: datetime, offset: int | None
) -> None:
    """Issue 16, line 6."""
    taken = read_xmp(xmp(attributes=attributes)).taken
    assert taken is not None
    zone = timezone(timedelta(minutes=offset or 0))
    assert (taken.local, taken.at()) == (local, local.replace(tzinfo=zone))
    assert (taken.instant is None) is (offset is None)


@pytest.mark.parametrize("text", ["2009", "2009-11", "2009-02-30", "0000-00-00T00:00:00", "x"])
def test_what_is_no_whole_date_is_none(text: str) -> None:
    assert read_xmp(xmp(attributes=f'photoshop:DateCreated="{text}"')).taken is None


@pytest.mark.parametrize(
    ("latitude", "longitude", "place"),
    [
        ("38,42.0N", "9,6.0W", (38.7, -9.1)),
        ("38,42,0S", "9,6,0E", (-38.7, 9.1)),
        ("0,0.0N", "0,0.0E", None),
        ("91,0.0N", "0,0.0E", None),
        ("38.7", "9.1", None),
    ],
)
def test_a_position(latitude: str, longitude: str, place: tuple[float, float] | None) -> None:
    found = read_xmp(
        xmp(attributes=f'exif:GPSLatitude="{latitude}" exif:GPSLongitude="{longitude}"')
    )
    assert found.position == (place if place is None else pytest.approx(place))


@pytest.mark.parametrize(
    "text",
    [
        *("OLYMPUS DIGITAL CAMERA", "SONY DSC", "   ", "DIGITAL CAMERA", "Exif_JPEG_PICTURE"),
        *(
            "KODAK Digital Still Camera",
            "_ _",
            "DCIM",
            "MINOLTA DIGITAL CAMERA",
            "&lt;KENOX S630&gt;",
        ),
    ],
)
def test_what_cameras_write_into_each_picture_is_no_caption(text: str) -> None:
    assert read_xmp(xmp(alternatives("dc:description", default=text))).caption is None


def test_a_caption_keeps_its_lines_and_is_bounded() -> None:
    text = "One\ttwo  \r\nthree"
    assert read_xmp(xmp(alternatives("dc:description", default=text))).caption == "One two\nthree"
    long = read_xmp(xmp(alternatives("dc:description", default="x" * 3_000))).caption
    assert len(long or "") == 2_000
    many = read_xmp(xmp(bag("dc:subject", *(f"tag {n}" for n in range(500)))))
    assert len(many.tags) == MAX_TAGS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_packet_in_other_encodings_and_with_padding(encoding: str) -> None:
    text = xmp(attributes='xmp:Label="Grün"').decode()
    data = text.replace("\ufeff", "").encode(encoding)
    padding = b"\0\0" if encoding == "utf-8-sig" else b""
    assert read_xmp(data + padding).label == "Grün"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not XML"),
        (b"<x:xmpmeta", "not XML"),
        (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (b"<a>" * 50 + b"</a>" * 50, "nested too deep"),
        (b"<a>" + b"<b/>" * 100_000 + b"</a>", "too many elements"),
        (b"x" * (MAX_XMP_BYTES + 1), "more than 4 MB"),
        (b"<a " + b"".join(b'b%d="" ' % n for n in range(200_001)) + b"/>", "many attributes"),
        (b"<a " + b"".join(b'xmlns:b%d="c" ' % n for n in range(101)) + b"/>", "too many"),
        ("\ufeff<a".encode("utf-16-le") + b"x", "not XML"),
    ],
)
def test_a_packet_that_is_none_or_hostile_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(AnnotationInvalid, match=reason):
        read_xmp(data)


def test_a_namespace_of_a_long_name_costs_nothing() -> None:
    """Expat writes the name before each attribute: two gigabytes of these 500 kB."""
    attributes = " ".join(f'n:a{number}=""' for number in range(5_000))
    data = xmp(f'<n:b xmlns:n="{"u" * 400_000}" {attributes}/>', 'xmp:Label="Red"')
    tracemalloc.start()
    found = read_xmp(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.label == "Red"
    assert peak < 20_000_000


@settings(max_examples=150, deadline=None)
@given(
    edits=st.dictionaries(st.integers(0, 3_000), st.integers(0, 255), max_size=8),
    text=st.text(max_size=40),
)
def test_any_packet_is_read_or_refused(edits: dict[int, int], text: str) -> None:
    data = bytearray(
        xmp(LISTS + f"<xmp:Label>{text}</xmp:Label>", 'xmp:CreateDate="2009-11-16"')
        if text.isprintable() and not set(text) & set("<&>")
        else xmp(LISTS)
    )
    for at, value in edits.items():
        data[at % len(data)] = value
    try:
        found = read_xmp(bytes(data))
    except AnnotationInvalid:
        return
    for word in (found.caption or "", found.label or "", *found.tags):
        assert "\0" not in word
        assert word.encode() is not None
    assert found.taken is None or found.taken.at(UTC).utcoffset() is not None
