"""What is written in a picture's file: XMP over IPTC over Exif (issue 16, lines 4 and 6)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.PngImagePlugin import PngInfo

from app.pictures.decoding import decode
from app.pictures.metadata.description import Description, Taken
from app.pictures.metadata.exif import RATING
from app.pictures.metadata.iptc import read_iptc
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.written_metadata import alternatives, bag, iptc, jpeg, xmp

MEGAPIXELS = 50
TIFF_XMP = 700
UTF_8 = (1, 90, b"\x1b%G")


def described(data: bytes) -> Description:
    return decode(data, MEGAPIXELS).description


def exif(main: dict[Any, Any], photo: dict[Any, Any] | None = None, gps: Any = None) -> bytes:
    found = Image.Exif()
    found.update(main)
    found.get_ifd(IFD.Exif).update(photo or {})
    found.get_ifd(IFD.GPSInfo).update(gps or {})
    return found.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_packet_is_found_in_each_format(kind: str) -> None:
    packet = xmp(bag("dc:subject", "pier"), 'xmp:Rating="3"')
    info, tags = PngInfo(), Image.Exif()
    info.add_itxt("XML:com.adobe.xmp", packet.decode())
    tags[TIFF_XMP] = packet
    how: dict[str, Any] = {"PNG": {"pnginfo": info}, "TIFF": {"tiffinfo": tags}}
    found = described(encoded(noise(1), kind, **how.get(kind, {"xmp": packet})))
    assert (found.tags, found.rating) == (("pier",), 3)


def test_iptc_is_read_from_jpeg_and_tiff() -> None:
    block = iptc((2, 120, b"Grandma"), (2, 25, b"pier"), (2, 25, b"sea"), (2, 90, b"Lisbon"))
    found = described(jpeg(iim=block))
    assert (found.caption, found.tags, found.city) == ("Grandma", ("pier", "sea"), "Lisbon")
    info = Image.Exif()
    info[33_723] = block
    assert described(encoded(noise(1), "TIFF", tiffinfo=info)).caption == "Grandma"


@pytest.mark.parametrize(
    "values",
    [
        [(2, 120, "Größe".encode("cp1252"))],
        [(2, 120, "Größe".encode())],
        [UTF_8, (2, 120, "Größe".encode())],
    ],
)
def test_iptc_is_utf_8_if_it_is_and_else_windows_western(values: list[Any]) -> None:
    assert read_iptc(iptc(*values)).caption == "Größe"


def test_all_of_iptc() -> None:
    block = iptc(
        (2, 5, b"The pier"),
        *[(2, 80, b"Ada"), (2, 80, b"Bob"), (2, 116, b"(c) Ada")],
        *[(2, 90, b"Lisbon"), (2, 95, b"Lisboa"), (2, 101, b"Portugal")],
        *[(2, 55, b"20091116"), (2, 60, b"125158+0100")],
    )
    local = datetime(2009, 11, 16, 12, 51, 58)
    assert read_iptc(block) == Description(
        title="The pier",
        creator="Ada, Bob",
        copyright="(c) Ada",
        city="Lisbon",
        state="Lisboa",
        country="Portugal",
        taken=Taken(local, datetime(2009, 11, 16, 11, 51, 58, tzinfo=UTC)),
    )
    assert read_iptc(iptc((2, 55, b"20091100"))).taken is None
    for cut in range(len(block)):
        assert read_iptc(block[:cut]).caption is None


def test_exif_has_captions_keywords_and_names_too() -> None:
    wide = {
        Base.XPTitle: "The pier",
        Base.XPKeywords: "sea;Größe;",
        Base.XPComment: "Grandma",
        Base.XPAuthor: "Ada;Bob",
    }
    main = {tag: f"{text}\0".encode("utf-16-le") for tag, text in wide.items()}
    main |= {Base.Copyright: "Ada\0", RATING: 4}  # type: ignore[dict-item]
    found = described(jpeg(exif=exif(main, {Base.LensModel: "EF50mm"})))
    assert (found.title, found.caption, found.tags) == ("The pier", "Grandma", ("sea", "Größe"))
    assert (found.creator, found.copyright, found.rating) == ("Ada, Bob", "Ada", 4)
    assert found.lens == "EF50mm"
    both = exif({Base.ImageDescription: "Oma in Größe 40".encode(), **main})
    assert described(jpeg(exif=both)).caption == "Oma in Größe 40"


def test_xmp_wins_over_iptc_and_that_over_exif_in_each_field() -> None:
    data = jpeg(
        exif=exif({Base.ImageDescription: "E", Base.Artist: "E", Base.Copyright: "E"}),
        iim=iptc((2, 120, b"I"), (2, 80, b"I"), (2, 25, b"I")),
        xmp=xmp(alternatives("dc:description", default="X")),
    )
    found = described(data)
    assert (found.caption, found.creator, found.copyright) == ("X", "I", "E")
    assert found.tags == ("I",)


def test_a_damaged_packet_costs_itself_alone() -> None:
    assert described(jpeg(xmp=b"<x:xmpmeta", iim=iptc((2, 120, b"I")))).caption == "I"


NINE = datetime(2009, 11, 16, 9, 10, 11)


@pytest.mark.parametrize(
    ("data", "moment"),
    [
        (jpeg(xmp=xmp(attributes='exif:DateTimeOriginal="2009-11-16T09:10:11"')), NINE),
        (jpeg(iim=iptc((2, 55, b"20091116"), (2, 60, b"091011"))), NINE),
        (  # the camera's own, whatever programs write later
            jpeg(
                exif=exif({}, {Base.DateTimeOriginal: "2009:11:16 09:10:11"}),
                xmp=xmp(attributes='photoshop:DateCreated="2020-01-01"'),
            ),
            NINE,
        ),
        (  # a scan of an old picture
            jpeg(
                exif=exif({Base.DateTime: "2020:01:01 00:00:00"}),
                iim=iptc((2, 55, b"20091116"), (2, 60, b"091011")),
            ),
            NINE,
        ),
        (  # XMP tells the offset that Exif of before 2016 cannot
            jpeg(
                exif=exif({}, {Base.DateTimeOriginal: "2009:11:16 09:10:11"}),
                xmp=xmp(attributes='exif:DateTimeOriginal="2009-11-16T09:10:11+05:30"'),
            ),
            NINE.replace(tzinfo=timezone(timedelta(hours=5, minutes=30))),
        ),
        (
            jpeg(
                exif=exif(
                    {}, {Base.DateTimeOriginal: "2009:11:16 09:10:11", Base.SubsecTimeOriginal: "5"}
                )
            ),
            NINE.replace(microsecond=500_000),
        ),
    ],
)
def test_the_time_is_the_cameras_else_what_is_written(data: bytes, moment: datetime) -> None:
    taken = described(data).taken
    assert taken is not None
    assert taken.at() == (moment if moment.tzinfo else moment.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("clock", "offset"),
    [
        ((3.0, 40.0, 11.0), timedelta(hours=5, minutes=30)),
        ((3.0, 39.0, 2.5), timedelta(hours=5, minutes=30)),  # fixed a minute before
        ((9.0, 10.0, 11.0), timedelta()),
        ((4.0, 3.0, 11.0), None),  # no zone is 5:07 east
        ((9.0,), None),
    ],
)
def test_the_satellites_tell_the_offset(clock: Any, offset: timedelta | None) -> None:
    """Issue 16, line 6: 09:10:11 by the camera, 03:40:11 by GPS."""
    gps = {GPS.GPSDateStamp: "2009:11:16", GPS.GPSTimeStamp: clock}
    data = jpeg(exif=exif({}, {Base.DateTimeOriginal: "2009:11:16 09:10:11"}, gps))
    taken = described(data).taken
    assert taken is not None
    assert taken.local == NINE
    assert (taken.instant and NINE - taken.instant.replace(tzinfo=None)) == offset


def test_a_time_without_an_offset_is_of_the_zone_that_is_set() -> None:
    lisbon = ZoneInfo("Europe/Lisbon")
    assert Taken(datetime(2009, 7, 1, 9)).at(lisbon).utcoffset() == timedelta(hours=1)
    assert Taken(datetime(1890, 7, 1, 9)).at(lisbon).utcoffset() == timedelta(minutes=-37)
    instant = datetime(2009, 7, 1, 8, tzinfo=UTC)
    assert Taken(instant=instant).at(lisbon).replace(tzinfo=None) == datetime(2009, 7, 1, 9)
