"""Safe decoding of untrusted image files (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC).

The checks run from cheap to expensive: the format must be in FORMATS, then the size and shape
are checked from the header, and only then are pixels decoded. Whatever a decoder raises becomes
a subclass of `ImageRejected`.
"""

import io
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from app.errors import (
    ImageCorrupt,
    ImageRejected,
    ImageTooLarge,
    ImageTooNarrow,
    ImageUnsupported,
)
from app.pictures.color_conversion import to_rgb
from app.pictures.exif import Exif, read_exif
from app.pictures.tiff_tags import check_tiff, limit_pillow_directories

PillowImage = Pillow.Image

FORMATS = {
    "AVIF": ("image/avif", ".avif"),
    "BMP": ("image/bmp", ".bmp"),
    "GIF": ("image/gif", ".gif"),
    "HEIF": ("image/heic", ".heic"),
    "JPEG": ("image/jpeg", ".jpg"),
    "MPO": ("image/jpeg", ".jpg"),
    "PNG": ("image/png", ".png"),
    "TIFF": ("image/tiff", ".tif"),
    "WEBP": ("image/webp", ".webp"),
}
"""The accepted formats by Pillow's name: media type, and suffix of stored files."""

DECODERS = tuple(name for name in FORMATS if name != "MPO")  # Pillow's JPEG plugin opens MPO

MAX_ASPECT_RATIO = 100  # longer side : shorter side
DRAFT_SIDE = 1024  # pixels: larger JPEGs are decoded at 1/2, 1/4 or 1/8, but not below this
ORIENTATION_TAG = 0x0112
SIDEWAYS = {5, 6, 7, 8}  # the Exif orientations that swap width and height
LARGE_PIXELS = 8_000_000
MAX_DECODING_LARGE = 4  # at a time: one of 50 megapixels takes up to 1 GB while it is decoded
_decoding_large = threading.BoundedSemaphore(MAX_DECODING_LARGE)
MAX_JPEG_SCANS = 100  # a progressive JPEG has about 10; each is a pass over all pixels
START_OF_SCAN = b"\xff\xda"
MAX_EXIF_BLOCKS = 200  # usually 1; Pillow joins them one by one, in quadratic time
START_OF_EXIF = b"Exif\0\0"


@dataclass(frozen=True)
class PictureLimits:
    """The largest accepted picture: in megapixels (10^6 pixels), and in bytes of its file."""

    max_megapixels: float
    max_file_bytes: int


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    `image` is 8-bit RGB with its Exif orientation applied, and may be smaller than the original.
    `width` and `height` are the original's in that orientation, in pixels.
    """

    image: PillowImage
    format: str
    width: int
    height: int
    exif: Exif


def decode(data: bytes, max_megapixels: float, draft_side: int = DRAFT_SIDE) -> Picture:
    """Decode a file's bytes; a JPEG may come out smaller, but no side below `draft_side` pixels.

    Raises ImageUnsupported, ImageTooLarge, ImageTooNarrow or ImageCorrupt.
    """
    try:
        _check_exif_blocks(data)
        with _open(io.BytesIO(data)) as image:
            _check_shape(image.size, max_megapixels)
            _check_scans(image, data)
            large = image.width * image.height > LARGE_PIXELS
            with _decoding_large if large else nullcontext():
                return _decoded(image, draft_side)
    except ImageRejected:
        raise
    except Pillow.DecompressionBombError as error:
        raise ImageTooLarge(f"The picture has too many pixels: {error}.") from error
    except MemoryError as error:
        raise ImageTooLarge("The picture needs more memory than there is.") from error
    except Exception as error:  # decoders raise any type on damaged files
        raise ImageCorrupt(f"The picture is damaged or truncated: {_reason(error)}.") from error


def _decoded(image: PillowImage, draft_side: int) -> Picture:
    full = image.size
    drafted = image.draft("RGB", (draft_side, draft_side))  # only JPEG implements it
    image.load()  # Pillow's TIFF plugin transposes here, and removes the orientation tag
    orientation = _orientation(image)
    width, height = full if drafted else image.size
    if orientation in SIDEWAYS:
        width, height = height, width
    exif = read_exif(image)
    upright = _upright(to_rgb(image), orientation)
    return Picture(upright, image.format or "", width, height, exif)


def media_type(file: BinaryIO) -> str | None:
    """The media type by a file's header, or None if it is not an accepted picture."""
    try:
        with _open(file) as image:
            return FORMATS[image.format or ""][0]
    except Exception:  # noqa: BLE001  # as in decode
        return None


def check_signature(head: bytes) -> None:
    """Raise ImageUnsupported if no file that begins with `head` is an accepted picture.

    SIGNATURE_BYTES are enough. A film of gigabytes need not be read to its end.
    """
    _register_formats()
    Pillow.init()  # else Pillow.OPEN is filled only when a file of a rarer format is met
    openers = (Pillow.OPEN[name] for name in DECODERS)
    if not any(accept is None or accept(head[:SIGNATURE_BYTES]) for _, accept in openers):
        raise _unsupported()


@cache
def _register_formats() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    limit_pillow_directories()
    Pillow.MAX_IMAGE_PIXELS = None  # _check_shape applies our own limit


def _open(file: BinaryIO) -> PillowImage:
    """Read the header only."""
    _register_formats()
    check_tiff(file)
    try:
        return Pillow.open(file, formats=DECODERS)
    except UnidentifiedImageError as error:
        file.seek(0)
        if _looks_accepted(file.read(SIGNATURE_BYTES)):
            raise ImageCorrupt("The picture is damaged: its header cannot be read.") from error
        raise _unsupported() from None


def _unsupported() -> ImageUnsupported:
    names = ", ".join(DECODERS)
    return ImageUnsupported(f"This is not a picture in one of these formats: {names}.")


SIGNATURE_BYTES = 16
START_OF_JPEG = b"\xff\xd8\xff"
SIGNATURES = (START_OF_JPEG, b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


def _looks_accepted(head: bytes) -> bool:
    """Whether the file has the signature of an accepted format: then it is damaged."""
    boxed = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    brand = head[4:8] == b"ftyp" and head[8:12] in {b"avif", b"avis", b"heic", b"mif1"}
    return head.startswith(SIGNATURES) or boxed or brand


def _check_shape(size: tuple[int, int], max_megapixels: float) -> None:
    width, height = size
    if width * height > max_megapixels * 1e6:
        raise ImageTooLarge(
            f"The picture has {width} × {height} pixels; {max_megapixels:g} megapixels are allowed."
        )
    if width < 1 or height < 1:
        raise ImageCorrupt("The picture has no pixels.")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageTooNarrow(
            f"The picture is {width} × {height} pixels; "
            f"one side may be at most {MAX_ASPECT_RATIO} times the other."
        )


def _check_scans(image: PillowImage, data: bytes) -> None:
    """A JPEG of a few kilobytes can demand thousands of passes over all its pixels."""
    if image.format in {"JPEG", "MPO"} and data.count(START_OF_SCAN) > MAX_JPEG_SCANS:
        raise ImageCorrupt(f"The JPEG is damaged: it has more than {MAX_JPEG_SCANS} scans.")


def _check_exif_blocks(data: bytes) -> None:
    """With many Exif blocks a JPEG of some megabytes makes Pillow copy terabytes in `open`."""
    if data.startswith(START_OF_JPEG) and data.count(START_OF_EXIF) > MAX_EXIF_BLOCKS:
        raise ImageCorrupt(
            f"The JPEG is damaged: it has more than {MAX_EXIF_BLOCKS} blocks of Exif."
        )


def _orientation(image: PillowImage) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001  # damaged metadata does not make the picture unreadable
        return 1


def _upright(image: PillowImage, orientation: int) -> PillowImage:
    method = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_270,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
