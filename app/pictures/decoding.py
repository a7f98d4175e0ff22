"""Bytes to pictures, safely: what is accepted, how it is decoded, and thumbnails.

A picture from a stranger is decoded in this order: its format must be on the list, its size
and shape are judged from the header, and only then are pixels made of it. Whatever a decoder
raises becomes one of the kinds of `ImageRejected`.
"""

import io
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from app.errors import (
    ImageCorrupt,
    ImageRejected,
    ImageTooLarge,
    ImageTooNarrow,
    ImageUnsupported,
)
from app.pictures.exif import Exif, read_exif
from app.pictures.tiff_tags import bound_pillow, check_tiff

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
"""Each accepted format of Pillow's, its media type and the suffix its files are stored under."""

DECODERS = tuple(name for name in FORMATS if name != "MPO")  # Pillow opens MPO as JPEG

MAX_ASPECT = 100  # longer side : shorter side
DRAFT_SIDE = 1024  # pixels: a larger JPEG is decoded at 1/2, 1/4 or 1/8, but not below this
THUMBNAIL_SIDES = (64, 128, 256, 512, 1024)  # pixels: few, so that the cache stays small
THUMBNAIL_QUALITY = 80  # WebP's scale of 0 to 100
TONE_TOPS = (1.0, *(float(2**bits - 1) for bits in (8, 10, 12, 14, 16)))  # white, by depth
ORIENTATION_TAG = 0x0112
SIDEWAYS = {5, 6, 7, 8}  # the EXIF orientations that swap width and height
WHITE = (255, 255, 255)
LARGE_PIXELS = 8_000_000
MAX_DECODING_LARGE = 4  # at a time: one of 50 megapixels takes up to 1 GB while it is decoded
_decoding_large = threading.BoundedSemaphore(MAX_DECODING_LARGE)
MAX_JPEG_SCANS = 100  # a progressive JPEG has about 10; each costs a pass over all pixels
START_OF_SCAN = b"\xff\xda"
MAX_EXIF_BLOCKS = 200  # Pillow joins a JPEG's one by one, copying all before it: one is usual
START_OF_EXIF = b"Exif\0\0"


@dataclass(frozen=True)
class PictureLimits:
    """The largest picture that is read: in 10^6 pixels, and in bytes of its file."""

    max_megapixels: float
    max_file_bytes: int


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `image` is upright RGB, and may be smaller than the original.

    `width` and `height` are the upright original's, in pixels; `exif` is what the camera wrote.
    """

    image: PillowImage
    format: str
    width: int
    height: int
    exif: Exif


def decode(data: bytes, max_megapixels: float, draft_side: int = DRAFT_SIDE) -> Picture:
    """Decode a file's bytes.

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
    except Exception as error:  # decoders raise whatever their format's parser trips over
        raise ImageCorrupt(f"The picture is damaged or truncated: {_reason(error)}.") from error


def _decoded(image: PillowImage, draft_side: int) -> Picture:
    full = image.size
    drafted = image.draft("RGB", (draft_side, draft_side))  # leaves all but JPEG alone
    image.load()  # TIFF turns itself upright here, and forgets its orientation
    orientation = _orientation(image)
    width, height = full if drafted else image.size
    if orientation in SIDEWAYS:
        width, height = height, width
    exif = read_exif(image)
    upright = _upright(_rgb(image), orientation)
    return Picture(upright, image.format or "", width, height, exif)


def media_type(file: BinaryIO) -> str | None:
    """The media type that a file's header shows, or None if it is no accepted picture."""
    try:
        with _open(file) as image:
            return FORMATS[image.format or ""][0]
    except Exception:  # noqa: BLE001  # as in decode; here only the answer matters
        return None


def thumbnail_side(size: int) -> int:
    """The smallest kept side that is at least `size` pixels, or the largest there is."""
    return next((side for side in THUMBNAIL_SIDES if side >= size), THUMBNAIL_SIDES[-1])


def thumbnail(data: bytes, side: int, max_megapixels: float) -> bytes:
    """A WebP no larger than `side` × `side` pixels of the picture in `data`.

    Raises as `decode` does.
    """
    return thumbnail_of(decode(data, max_megapixels, draft_side=2 * side).image, side)


def thumbnail_of(image: PillowImage, side: int) -> bytes:
    """The same of a picture that is decoded."""
    small = image.copy()
    small.thumbnail((side, side), Pillow.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=THUMBNAIL_QUALITY)
    return out.getvalue()


def thumbnail_name(content_hash: bytes, side: int) -> str:
    """The name that the thumbnail of a content is kept under."""
    return f"{content_hash.hex()}-{side}.webp"


@cache
def _register_formats() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    bound_pillow()
    Pillow.MAX_IMAGE_PIXELS = None  # our own limit is checked before any pixel is decoded


def _open(file: BinaryIO) -> PillowImage:
    """Read the header alone."""
    _register_formats()
    check_tiff(file)
    try:
        return Pillow.open(file, formats=DECODERS)
    except UnidentifiedImageError as error:
        file.seek(0)
        if _looks_accepted(file.read(SIGNATURE_BYTES)):
            raise ImageCorrupt("The picture is damaged: its header cannot be read.") from error
        names = ", ".join(DECODERS)
        raise ImageUnsupported(f"This is not a picture in one of these formats: {names}.") from None


SIGNATURE_BYTES = 12
START_OF_JPEG = b"\xff\xd8\xff"
SIGNATURES = (START_OF_JPEG, b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")


def _looks_accepted(head: bytes) -> bool:
    """Whether a file that no decoder opens begins like one of an accepted format."""
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
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageTooNarrow(
            f"The picture is {width} × {height} pixels; "
            f"one side may be at most {MAX_ASPECT} times the other."
        )


def _check_scans(image: PillowImage, data: bytes) -> None:
    """A JPEG of a few kilobytes can ask for thousands of passes over all its pixels."""
    if image.format in {"JPEG", "MPO"} and data.count(START_OF_SCAN) > MAX_JPEG_SCANS:
        raise ImageCorrupt(f"The JPEG is damaged: it has more than {MAX_JPEG_SCANS} scans.")


def _check_exif_blocks(data: bytes) -> None:
    """A JPEG of a few megabytes can make Pillow copy terabytes before it is open."""
    if data.startswith(START_OF_JPEG) and data.count(START_OF_EXIF) > MAX_EXIF_BLOCKS:
        raise ImageCorrupt(
            f"The JPEG is damaged: it has more than {MAX_EXIF_BLOCKS} blocks of Exif."
        )


def _orientation(image: PillowImage) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001  # damaged metadata never costs the picture
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


def _rgb(image: PillowImage) -> PillowImage:
    """Any mode to RGB: deep channels scaled, transparency laid on white."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit(image).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        paper = Pillow.new("RGB", layer.size, WHITE)
        paper.paste(layer, mask=layer.getchannel("A"))
        return paper
    return image.convert("RGB")


def _eight_bit(image: PillowImage) -> PillowImage:
    """Deep and floating-point greys, shape (height, width), as 8 bits."""
    values = np.nan_to_num(np.asarray(image).astype(np.float32))
    low, high = _tone_range(values)
    scaled = (values - low) * (255 / (high - low))
    return Pillow.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _tone_range(values: NDArray[np.float32]) -> tuple[float, float]:
    """The values that stand for black and white.

    Cameras and scanners store 10, 12 or 14 bits in 16 without shifting them up, so white is
    the largest value of the fewest bits that hold them all; what fits none is stretched.
    """
    low, high = float(values.min()), float(values.max())
    tops = (top for top in TONE_TOPS if high <= top)
    return (0.0, next(tops, high)) if low >= 0 else (low, max(high, low + 1))


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
