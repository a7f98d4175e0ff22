"""Thumbnails: small WebP copies, in a few sizes, named by the hash of the original's bytes."""

import io

from PIL import Image as Pillow

from app.pictures.decoding import PillowImage, decode

THUMBNAIL_SIDES = (64, 128, 256, 512, 1024)  # pixels: few, so that the cache stays small
THUMBNAIL_QUALITY = 80  # on WebP's scale from 0 to 100


def thumbnail_side(size: int) -> int:
    """The smallest of THUMBNAIL_SIDES that is at least `size` pixels, or the largest of all."""
    return next((side for side in THUMBNAIL_SIDES if side >= size), THUMBNAIL_SIDES[-1])


def make_thumbnail(
    data: bytes, side: int, max_megapixels: float, page: int = 1, seconds: float | None = None
) -> bytes:
    """Decode a page of a file's bytes and return a WebP of at most `side` × `side` pixels.

    `seconds` is when the page of a video is shown. Raises what `decode` raises.
    """
    picture = decode(data, max_megapixels, draft_side=2 * side, page=page, seconds=seconds)
    return encode_thumbnail(picture.image, side)


def encode_thumbnail(image: PillowImage, side: int) -> bytes:
    """A decoded RGB picture as a WebP of at most `side` × `side` pixels; never enlarged."""
    small = image.copy()
    small.thumbnail((side, side), Pillow.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=THUMBNAIL_QUALITY)
    return out.getvalue()


def thumbnail_name(content_hash: bytes, side: int, seconds: float | None = None) -> str:
    """The file name in the thumbnail cache, by the original's SHA-256.

    `seconds` are those of another frame of a video than its first one.
    """
    when = "" if seconds is None else f"-{round(seconds * 1000)}"
    return f"{content_hash.hex()}-{side}{when}.webp"
