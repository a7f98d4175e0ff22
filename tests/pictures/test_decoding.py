import io
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageCorrupt, ImageRejected, ImageTooLarge, ImageTooNarrow, ImageUnsupported
from app.pictures.decoding import DRAFT_SIDE, decode
from app.pictures.formats import (
    PILLOW_FORMATS,
    SIGNATURE_BYTES,
    check_signature,
    media_type,
    read_jpeg_2000,
)
from app.pictures.metadata.description import Description
from tests.fixtures.drawn_pictures import encoded, noise, png

MEGAPIXELS = 50


def decoded(image: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    return np.asarray(decode(encoded(image, kind, **options), MEGAPIXELS).image).astype(int)


@pytest.mark.parametrize("kind", sorted(set(PILLOW_FORMATS) - {"MPO"}))
def test_each_format_on_the_list_is_read(kind: str) -> None:
    data = encoded(noise(1), kind)
    picture = decode(data, MEGAPIXELS)
    assert (picture.format, picture.width, picture.height) == (kind, 96, 64)
    assert picture.image.mode == "RGB"
    assert media_type(io.BytesIO(data)) == PILLOW_FORMATS[kind][0]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ICO", "an icon, and "),
        ("PPM", ""),
        ("TGA", ""),
        ("PCX", ""),
        ("JPEG2000", "JPEG 2000, and "),
        ("PDF", "a PDF, and "),
    ],
)
def test_a_format_off_the_list_is_unsupported(kind: str, name: str) -> None:
    data = encoded(noise(1), kind)
    reason = f"This is {name}not a picture in one of these formats"
    for read in (lambda: decode(data, MEGAPIXELS), lambda: check_signature(data[:SIGNATURE_BYTES])):
        with pytest.raises(ImageUnsupported, match=reason):
            read()


@pytest.mark.parametrize(
    "start", [b"PK\3\4", b"PK\5\6", b"\x1f\x8b\x08", bytes(257) + b"ustar\x0000"]
)
def test_an_archive_is_told_where_archives_go(start: bytes) -> None:
    with pytest.raises(ImageUnsupported, match=r"archive.*POST /api/v1/images takes archives"):
        decode(start + bytes(600), MEGAPIXELS)


@pytest.fixture
def with_jpeg_2000() -> Iterator[None]:
    read_jpeg_2000(True)
    yield
    read_jpeg_2000(False)


@pytest.mark.usefixtures("with_jpeg_2000")
def test_jpeg_2000_is_read_if_the_setting_says_so() -> None:
    data = encoded(noise(1), "JPEG2000")
    check_signature(data[:SIGNATURE_BYTES])
    picture = decode(data, MEGAPIXELS)
    assert (picture.format, picture.width, picture.height) == ("JPEG2000", 96, 64)
    assert np.array_equal(np.asarray(picture.image), np.asarray(noise(1)))
    assert media_type(io.BytesIO(data)) == "image/jp2"
    for part in (0.05, 0.5, 0.9):
        with pytest.raises(ImageCorrupt):
            decode(data[: int(len(data) * part)], MEGAPIXELS)
    with pytest.raises(ImageTooLarge):
        decode(data, 0.001)


@pytest.mark.parametrize("head", [b"II\x1a\0\0\0HEAPCCDR", b"\0MRM\0\1", b"FOVb\0\0\2\0"])
def test_other_kinds_of_camera_raw_are_refused_by_their_names(head: bytes) -> None:
    with pytest.raises(ImageUnsupported, match=r"of (Canon|Minolta|Sigma), and not a picture"):
        decode(head + bytes(99), MEGAPIXELS)


@pytest.mark.parametrize("data", [b"", b"x", b"<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_bytes_that_are_no_picture_are_unsupported(data: bytes) -> None:
    with pytest.raises(ImageUnsupported):
        decode(data, MEGAPIXELS)
    assert media_type(io.BytesIO(data)) is None


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xef\xbb\xbf",
        b"<?xml version='1.0'?>\n<!-- Created with Inkscape -->\n",
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "svg11.dtd">\n',
    ],
)
def test_a_drawing_is_refused_by_its_name(before: bytes) -> None:
    """Issue 16: SVG."""
    data = before + b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for read in (lambda: decode(data, MEGAPIXELS), lambda: check_signature(data[:SIGNATURE_BYTES])):
        with pytest.raises(ImageUnsupported, match="a drawing in SVG"):
            read()


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (31, 31), (2, 200)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_tiny_pictures_are_read(kind: str, size: tuple[int, int]) -> None:
    """Issue 16: pictures below 32 pixels."""
    assert decode(encoded(Image.new("RGB", size), kind), MEGAPIXELS).image.size == size


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_a_file_cut_short_is_corrupt(kind: str, part: float) -> None:
    data = encoded(noise(1, (400, 300)), kind)
    with pytest.raises(ImageCorrupt):
        decode(data[: int(len(data) * part)], MEGAPIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(orientation: int) -> None:
    upright = noise(2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    picture = decode(encoded(stored, "PNG", exif=exif), MEGAPIXELS)
    assert np.array_equal(np.asarray(picture.image), np.asarray(upright))
    assert (picture.width, picture.height) == upright.size


def test_a_large_jpeg_is_drafted_but_keeps_its_size_and_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(3, (4 * DRAFT_SIDE, 3 * DRAFT_SIDE)), "JPEG", exif=exif)
    picture = decode(data, MEGAPIXELS)
    assert (picture.width, picture.height) == (3 * DRAFT_SIDE, 4 * DRAFT_SIDE)
    assert picture.image.size == (3 * DRAFT_SIDE // 2, 4 * DRAFT_SIDE // 2)


def test_what_the_camera_wrote_outlives_turning_and_converting() -> None:
    exif = Image.Exif()
    exif.update({0x0112: 8, 0x010F: "Canon", 0x0110: "Canon EOS 5D"})
    clear = Image.new("RGBA", (8, 4), (255, 0, 0, 128))
    picture = decode(encoded(clear, "PNG", exif=exif), MEGAPIXELS)
    assert (picture.image.mode, picture.image.size) == ("RGB", (4, 8))
    assert picture.description.camera == "Canon EOS 5D"


def test_damaged_exif_never_costs_the_picture() -> None:
    picture = decode(encoded(noise(1), "JPEG", exif=b"Exif\0\0no TIFF header"), MEGAPIXELS)
    assert (picture.width, picture.description) == (96, Description())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    pixels = decoded(clear.convert(mode) if mode != "RGBA" else clear)
    assert pixels.min() == 255


def test_half_transparent_red_becomes_pink() -> None:
    pixels = decoded(Image.new("RGBA", (8, 8), (255, 0, 0, 128)))
    assert np.abs(pixels - [255, 127, 127]).max() <= 1


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = decoded(Image.fromarray(ramp))
    assert np.abs(pixels[:, :, 0].ravel() - np.arange(256)).max() <= 1


def test_twelve_bits_in_sixteen_are_not_black() -> None:
    ramp = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)
    pixels = decoded(Image.fromarray(ramp), "TIFF")
    assert np.abs(pixels[:, :, 0].ravel() - np.arange(256)).max() <= 1


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (0.0, 1e9)])
def test_floating_point_is_stretched(low: float, high: float) -> None:
    ramp = np.linspace(low, high, 256, dtype=np.float32).reshape(16, 16)
    pixels = decoded(Image.fromarray(ramp), "TIFF")
    assert np.abs(pixels[:, :, 0].ravel() - np.arange(256)).max() <= 1


def test_cmyk_becomes_rgb() -> None:
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, blue = decoded(cyan, "JPEG", quality=95)[8, 8]
    assert red < 60
    assert green > 150
    assert blue > 200


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode(data, MEGAPIXELS).image)[4, 4].tolist() == [255, 0, 0]


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "error"),
    [
        ((60_000, 60_000), ImageTooLarge),
        ((2**31 - 1, 2**31 - 1), ImageTooLarge),
        ((5_000, 49), ImageTooNarrow),
        ((49, 5_000), ImageTooNarrow),
        ((5_000, 50), ImageCorrupt),  # just allowed; then it has no pixels
    ],
)
def test_size_and_shape_are_judged_before_pixels(
    size: tuple[int, int], error: type[ImageRejected]
) -> None:
    with pytest.raises(error):
        decode(png_header(*size), MEGAPIXELS)


def test_the_bound_on_pixels_is_the_setting() -> None:
    data = png(1, (1000, 1000))
    assert decode(data, 1.0).width == 1000
    with pytest.raises(ImageTooLarge, match=r"1000 × 1000 pixels; 0\.9 megapixels"):
        decode(data, 0.9)


def test_a_jpeg_of_endless_scans_is_refused_unread() -> None:
    data = encoded(noise(5, (640, 480)), "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    assert decode(data, MEGAPIXELS).width == 640
    with pytest.raises(ImageCorrupt, match="more than 100 scans"):
        decode(data[:-2] + data[start:-2] * 200 + data[-2:], MEGAPIXELS)


@pytest.mark.parametrize("work", ["decode", "resize"])
def test_decoding_and_resizing_let_other_threads_run(work: str) -> None:
    """Each is one call into C: nothing would run during it that needs the interpreter's lock."""
    large = noise(1, (3_000, 2_500))
    data = encoded(large, "JPEG", quality=90)
    jobs: dict[str, Callable[[], object]] = {
        "decode": lambda: decode(data, MEGAPIXELS, draft_side=10_000),
        "resize": lambda: large.resize((2_990, 2_490), Image.Resampling.BICUBIC),
    }
    times: list[float] = []

    def run() -> None:
        times.append(time.perf_counter())
        jobs[work]()
        times.append(time.perf_counter())

    thread = threading.Thread(target=run)
    ticks: list[float] = []
    thread.start()
    while thread.is_alive():
        ticks.append(time.perf_counter())
        time.sleep(0)
    began, ended = times
    inside = [tick for tick in ticks if began < tick < ended]
    gaps = np.diff([began, *inside, ended])
    assert gaps.max() < 0.8 * (ended - began)
