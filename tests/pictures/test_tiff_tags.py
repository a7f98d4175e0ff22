import io
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import PREFIXES, ImageFileDirectory_v2

from app.errors import ImageCorrupt, ImageRejected
from app.pictures.decoding import decode
from app.pictures.formats import media_type
from app.pictures.jpeg import MAX_EXIF_BLOCKS
from app.pictures.metadata.description import Description
from app.pictures.tiff_tags import HEADERS, MAX_NUMBERS, MAX_TAGS, SIZES, TiffReader, check_tiff
from tests.fixtures.drawn_pictures import encoded, noise, png

# Pillow warns of damaged tags that it then leaves out.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

MEGAPIXELS = 50
MEGABYTE = 1_000_000
BYTE, SHORT, LONG, RATIONAL, SIGNED_BYTE, IFD_TYPE = 1, 3, 4, 5, 6, 13
PRIVATE = 50_000  # the first of the tags that mean nothing
MANY = 200  # tags
PIXELS = 64  # bytes: of a grey picture of 8 × 8
SHARED_BYTES = 4 * MEGABYTE

Entry = tuple[int, int, int, int]
"""A tag, its type, the number of its values, and they or where they lie."""

decode(png(1), MEGAPIXELS)  # Pillow is bounded from here on, also where it writes


def directory(entries: Iterable[Entry], order: str = "<", big: bool = False) -> bytes:
    """A directory; values that take no more bytes than a place does are written in place."""
    listed = list(entries)
    counter, place = ("Q", "Q") if big else ("H", "L")
    out = struct.pack(order + counter, len(listed))
    for tag, kind, count, value in listed:
        form = "H" if (kind, count) == (SHORT, 1) else place
        packed = struct.pack(order + form, value % 65_536 if form == "H" else value).ljust(
            struct.calcsize("=" + place), b"\0"
        )
        out += struct.pack(order + "HH" + place, tag, kind, count) + packed
    return out + bytes(struct.calcsize("=" + place))


def header(order: str = "<", big: bool = False) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    if big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, 16)
    return mark + struct.pack(order + "HL", 42, 8)


def file_of(
    entries: Callable[[int], list[Entry]], tail: bytes, order: str = "<", big: bool = False
) -> bytes:
    """A header, one directory and what follows it; `entries` is told where that begins."""
    head = header(order, big)
    start = len(head) + len(directory(entries(0), order, big))
    return head + directory(entries(start), order, big) + tail


def tiff(
    entries: Callable[[int], list[Entry]], tail: bytes, order: str = "<", big: bool = False
) -> bytes:
    """A grey TIFF of 8 × 8 pixels, with other tags, and what follows the pixels."""

    def all_entries(start: int) -> list[Entry]:
        needed = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1), (278, 8)]
        own = [(tag, SHORT, 1, value) for tag, value in needed]
        own += [(273, LONG, 1, start), (279, LONG, 1, PIXELS)]
        return own + entries(start + PIXELS)

    return file_of(all_entries, bytes(PIXELS) + tail, order, big)


def sharing(kind: int = BYTE, size: int = SHARED_BYTES) -> Callable[[int], list[Entry]]:
    """Many tags that all claim the same bytes."""
    count = size // SIZES[kind]
    return lambda start: [(PRIVATE + tag, kind, count, start) for tag in range(MANY)]


def exif_bomb(order: str = "<") -> bytes:
    return file_of(sharing(), bytes(SHARED_BYTES), order)


def with_segments(jpeg: bytes, blocks: Iterable[bytes], marker: bytes = b"\xff\xe1") -> bytes:
    segments = (marker + struct.pack(">H", len(block) + 2) + block for block in blocks)
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def split_exif(exif: bytes, size: int) -> list[bytes]:
    return [b"Exif\0\0" + exif[at : at + size] for at in range(0, len(exif), size)]


def peak(work: Callable[[], object]) -> int:
    """The most bytes that Python, and with it Pillow's metadata, takes at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def assert_cheap(data: bytes) -> None:
    def work() -> None:
        try:
            decode(data, MEGAPIXELS)
        except ImageRejected:
            media_type(io.BytesIO(data))

    assert peak(work) < 3 * len(data) + 50 * MEGABYTE


def assert_left_out(data: bytes) -> None:
    picture = decode(data, MEGAPIXELS)
    assert (picture.width, picture.height, picture.description) == (96, 64, Description())
    assert_cheap(data)


def assert_refused(data: bytes, why: str = "its tags claim more bytes than the file has") -> None:
    assert media_type(io.BytesIO(data)) is None
    with pytest.raises(ImageCorrupt, match=f"The picture is damaged: {why}"):
        decode(data, MEGAPIXELS)
    assert_cheap(data)


def test_types_and_headers_are_those_of_pillow() -> None:
    assert {k: size for k, (size, _) in ImageFileDirectory_v2._load_dispatch.items()} == SIZES
    assert set(PREFIXES) == set(HEADERS)


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_a_tiff_whose_tags_share_their_bytes_is_refused(order: str, big: bool) -> None:
    honest = tiff(lambda start: [(PRIVATE, BYTE, 1000, start)], bytes(1000), order, big)
    assert decode(honest, MEGAPIXELS).width == 8
    assert_refused(tiff(sharing(), bytes(SHARED_BYTES), order, big))


def test_a_tiff_with_two_resolutions_stored_once_is_read() -> None:
    def entries(start: int) -> list[Entry]:
        return [(tag, RATIONAL, 1, start) for tag in (Base.XResolution, Base.YResolution)]

    assert decode(tiff(entries, struct.pack("<2L", 300, 1)), MEGAPIXELS).width == 8


@pytest.mark.parametrize("kind", [SHORT, RATIONAL, SIGNED_BYTE])
def test_a_tiff_of_too_many_numbers_is_refused(kind: int) -> None:
    def entries(start: int) -> list[Entry]:
        return [(Base.BitsPerSample, kind, MAX_NUMBERS, start)]

    data = tiff(entries, bytes(MAX_NUMBERS * SIZES[kind]))
    assert_refused(data, "it has more than 4,096 tags, or 131,072 numbers in them")


def test_a_tiff_of_too_many_tags_is_refused() -> None:
    def entries(start: int) -> list[Entry]:
        return [(PRIVATE, BYTE, 1, 0)] * MAX_TAGS

    assert_refused(tiff(entries, b"", big=True), "it has more than 4,096 tags")


@pytest.mark.parametrize("tag", [IFD.Exif, IFD.GPSInfo])
@pytest.mark.parametrize(("kind", "count"), [(LONG, 1), (LONG, 2), (IFD_TYPE, 1), (SHORT, 1)])
def test_the_directories_below_count_too(tag: int, kind: int, count: int) -> None:
    """Each of the two alone would do."""
    size = 200_000

    def entries(start: int) -> list[Entry]:
        where = start if count == 2 else start + 8  # two values are no more in the entry
        return [(tag, kind, count, where), (PRIVATE, BYTE, size, start)]

    def tail(start: int) -> bytes:
        below = directory([(PRIVATE, BYTE, size, start)])
        return struct.pack("<2L", start + 8, 0) + below + bytes(size)

    start = len(tiff(entries, b""))
    assert_refused(tiff(entries, tail(start)))


def test_a_directory_that_points_at_itself_ends() -> None:
    pointers = (IFD.Exif, IFD.GPSInfo, IFD.Interop)
    data = tiff(lambda _: [(tag, LONG, 1, 8) for tag in pointers], b"")
    assert decode(data, MEGAPIXELS).width == 8


def test_a_tag_beyond_the_end_ends_its_directory() -> None:
    """As in Pillow; the tags after it are not read."""
    hidden = file_of(lambda at: [(1, BYTE, 2**31, at), *sharing()(at)], b"")
    assert peak(lambda: check_tiff(io.BytesIO(hidden))) < MEGABYTE


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "HEIF"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_that_claims_too_much_is_left_out(kind: str, order: str) -> None:
    assert_left_out(encoded(noise(1), kind, exif=b"Exif\0\0" + exif_bomb(order)))


@pytest.mark.parametrize("order", ["<", ">"])
def test_so_it_is_in_a_jpeg(order: str) -> None:
    plain = encoded(noise(1), "JPEG")
    one = file_of(sharing(size=60_000), bytes(60_000), order)
    assert_left_out(with_segments(plain, split_exif(one, 65_000)))
    assert_left_out(with_segments(plain, split_exif(exif_bomb(order), 65_000)))


def test_so_it_is_in_the_exif_directory_of_a_jpeg() -> None:
    """There Pillow makes an object of each number."""

    def entries(start: int) -> list[Entry]:
        return [(IFD.Exif, LONG, 1, start)]

    start = len(file_of(entries, b""))
    inner = directory(sharing(SIGNED_BYTE, 60_000)(start))
    exif = file_of(entries, inner + bytes(60_000))
    assert_left_out(with_segments(encoded(noise(1), "JPEG"), split_exif(exif, 65_000)))


def test_so_it_is_with_the_index_of_an_mpo() -> None:
    index = file_of(sharing(SIGNED_BYTE, 60_000), bytes(60_000))
    plain = encoded(noise(1), "JPEG")
    assert_left_out(with_segments(plain, [b"MPF\0" + index], b"\xff\xe2"))


def test_an_avif_that_loses_its_exif_is_turned_by_its_container() -> None:
    size = 200_000
    exif = Image.Exif()
    exif.update({Base.Orientation: 6, PRIVATE: bytes(size), PRIVATE + 1: bytes(size)})
    data = encoded(noise(1), "AVIF", exif=exif)
    honest, claim = (struct.pack(">HHL", PRIVATE, BYTE, count) for count in (size, 2 * size))
    assert honest in data
    picture = decode(data.replace(honest, claim), MEGAPIXELS)
    assert (picture.width, picture.height) == (64, 96)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_a_name_of_megabytes_is_cheap(kind: str) -> None:
    exif = Image.Exif()
    exif[Base.Model] = "a b " * (4 * MEGABYTE)
    data = encoded(noise(1), kind, exif=exif)
    assert (decode(data, MEGAPIXELS).description.camera or "").startswith("a b a b")
    assert_cheap(data)


def test_a_jpeg_of_endless_exif_blocks_is_refused() -> None:
    plain = encoded(noise(1), "JPEG")
    assert decode(with_segments(plain, [b"Exif\0\0"] * MAX_EXIF_BLOCKS), MEGAPIXELS).width == 96
    with pytest.raises(ImageCorrupt, match="more than 200 blocks of Exif"):
        decode(with_segments(plain, [b"Exif\0\0x"] * (MAX_EXIF_BLOCKS + 1)), MEGAPIXELS)


@settings(max_examples=500, deadline=None)
@given(head=st.sampled_from([b"", *(mark + b"\x08\0\0\0" for mark in HEADERS)]), body=st.binary())
@example(b"II+\0", b"\xff" * 20)
@example(b"", b"MM\0+\0\x08\0\0" + b"\xff" * 8)
def test_any_bytes_pass_or_are_corrupt(head: bytes, body: bytes) -> None:
    file = io.BytesIO(head + body)
    try:
        check_tiff(file)
    except ImageCorrupt:
        return
    assert file.tell() == 0


KINDS = st.sampled_from([*SIZES, 0, 99])
PLACES = st.integers(0, 2**32 - 1) | st.integers(0, 400)
TAGS = st.sampled_from([IFD.Exif, IFD.GPSInfo, IFD.Interop, Base.Make, PRIVATE])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TAGS, KINDS, PLACES, PLACES), max_size=9), st.binary(max_size=200))
def test_any_tags_leave_a_picture_or_are_corrupt(entries: list[Entry], tail: bytes) -> None:
    exif = file_of(lambda _: entries, tail)
    assert decode(encoded(noise(1), exif=exif), MEGAPIXELS).image.mode == "RGB"
    with suppress(ImageCorrupt):
        decode(tiff(lambda _: entries, tail), MEGAPIXELS)


def test_no_photograph_goes_over_a_bound(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[str | None] = []
    fault = TiffReader.fault

    def noted(structure: TiffReader, start: int) -> str | None:
        faults.append(fault(structure, start))
        return faults[-1]

    monkeypatch.setattr(TiffReader, "fault", noted)
    for path in photos.iterdir():
        if media_type(io.BytesIO(path.read_bytes())):
            assert decode(path.read_bytes(), MEGAPIXELS).width > 0
    assert set(faults) == {None}
