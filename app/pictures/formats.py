"""The accepted formats, and how a file is opened as one of them."""

import re
from functools import cache
from typing import BinaryIO

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from app.errors import ImageCorrupt, ImageUnsupported
from app.pictures.color.profiles import forgive_png_profiles
from app.pictures.jpeg import START_OF_JPEG
from app.pictures.jpeg_xl.pillow_plugin import JPEG_XL, PACKAGE, reads_jpeg_xl, register_jpeg_xl
from app.pictures.raw.camera_raw import RAW_FORMATS, looks_raw, raw_format
from app.pictures.tiff_kinds import unread_kind
from app.pictures.tiff_tags import check_tiff, limit_pillow_directories
from app.pictures.video.containers import VIDEO_FORMATS, video_format
from app.pictures.video.frame_reading import check_read

PillowImage = Pillow.Image

PILLOW_FORMATS = {
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
"""The formats that Pillow reads, by its names: media type, and suffix of stored files."""

JPEG_2000 = "JPEG2000"
OPTIONAL_FORMATS = {JPEG_2000: ("image/jp2", ".jp2"), JPEG_XL: ("image/jxl", ".jxl")}
FORMATS = PILLOW_FORMATS | OPTIONAL_FORMATS | RAW_FORMATS | VIDEO_FORMATS
"""All formats that are or may be accepted."""

UNKNOWN = "unknown"
"""The format of a picture that was imported without its file, whose name does not tell it."""

JPEG_FORMATS = {"JPEG", "MPO"}
DECODERS = tuple(name for name in PILLOW_FORMATS if name != "MPO")  # Pillow's JPEG plugin opens MPO
_also_read: set[str] = set()  # beside DECODERS, in this process, by a setting
SIGNATURE_BYTES = 600  # a drawing in SVG names itself after comments; packets of MPEG-TS follow
PILLOW_SIGNATURE_BYTES = 16
SVG = re.compile(rb"^(\xef\xbb\xbf)?\s*<(svg\b|[?!].*(<svg\b|<!DOCTYPE svg\b))", re.DOTALL)
SIGNATURES = (START_OF_JPEG, b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")

ZIP, TAR = "a zip archive", "a tar archive or a compressed file"
FOREIGN = {
    (0, b"\xff\x0a"): "JPEG XL",
    (4, b"JXL "): "JPEG XL",
    (4, b"jP  "): "JPEG 2000",
    (0, b"\xff\x4f\xff\x51"): "JPEG 2000",
    (0, b"8BPS"): "a file of Photoshop",
    (0, b"gimp xcf"): "a file of GIMP",
    (0, b"\x76\x2f\x31\x01"): "OpenEXR",
    (0, b"#?RADIANCE"): "Radiance HDR",
    (0, b"%PDF"): "a PDF",
    (0, b"%!PS"): "PostScript",
    (0, b"\0\0\1\0"): "an icon",
    (6, b"HEAPCCDR"): "a CRW of Canon",
    (0, b"\0MRM"): "an MRW of Minolta",
    (0, b"FOVb"): "an X3F of Sigma",
    **dict.fromkeys(((0, b"PK\3\4"), (0, b"PK\5\6"), (0, b"PK\7\x08")), ZIP),
    **dict.fromkeys(((257, b"ustar"), (0, b"\x1f\x8b")), TAR),
}
"""What else people take for pictures, by its signature and where in the file that is."""


def read_jpeg_2000(is_read: bool) -> None:
    """Say whether this process reads JPEG 2000; it does not unless told to.

    Its decoder has had many more faults than those of the other formats.
    """
    _also_read.clear()
    if is_read:
        _also_read.add(JPEG_2000)


def decoders() -> tuple[str, ...]:
    """Pillow's names of the formats that this process reads with it."""
    return (*DECODERS, *sorted(_also_read), *([JPEG_XL] if reads_jpeg_xl() else []))


def type_and_suffix(name: str) -> tuple[str, str]:
    """Media type, and suffix of stored files, of a picture's format, which may be UNKNOWN."""
    return FORMATS.get(name, ("application/octet-stream", ""))


def media_type(file: BinaryIO) -> str | None:
    """The media type by a file's header, or None if it is not an accepted picture."""
    try:
        if (raw := raw_format(file)) is not None:
            return RAW_FORMATS[raw][0]
        file.seek(0)
        if (video := video_format(file.read(SIGNATURE_BYTES))) is not None:
            return VIDEO_FORMATS[video][0]
        file.seek(0)
        with open_picture(file) as image:
            return FORMATS[image.format or ""][0]
    except Exception:  # noqa: BLE001  # as in decode
        return None


def check_signature(head: bytes) -> None:
    """Raise ImageUnsupported if no file that begins with `head` is an accepted picture.

    SIGNATURE_BYTES are enough. A film of gigabytes need not be read to its end.
    """
    if looks_raw(head):
        return
    if video_format(head) is not None:
        check_read()
        return
    _register_formats()
    Pillow.init()  # else Pillow.OPEN is filled only when a file of a rarer format is met
    openers = (Pillow.OPEN[name] for name in decoders())
    if not any(accept is None or accept(head[:PILLOW_SIGNATURE_BYTES]) for _, accept in openers):
        raise _unsupported(head)


@cache
def _register_formats() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    register_jpeg_xl()
    limit_pillow_directories()
    forgive_png_profiles()
    Pillow.MAX_IMAGE_PIXELS = None  # `decode` applies our own limit


def open_picture(file: BinaryIO) -> PillowImage:
    """Open an accepted picture; reads the header only.

    Raises ImageUnsupported or ImageCorrupt, and whatever else decoders raise on damaged headers.
    """
    _register_formats()
    check_tiff(file)
    try:
        return Pillow.open(file, formats=decoders())
    except UnidentifiedImageError as error:
        if (kind := unread_kind(file)) is not None:
            raise unread_tiff(kind) from None
        file.seek(0)
        head = file.read(SIGNATURE_BYTES)
        if _looks_accepted(head):
            raise ImageCorrupt("The picture is damaged: its header cannot be read.") from error
        raise _unsupported(head) from None


def unread_tiff(kind: str) -> ImageUnsupported:
    """The refusal of a TIFF that is not damaged."""
    return ImageUnsupported(f"This kind of TIFF is not read: {kind}.")


def _unsupported(head: bytes) -> ImageUnsupported:
    names = ", ".join([*decoders(), "camera raw"])
    foreign = _foreign(head)
    if foreign == "JPEG XL" and not reads_jpeg_xl():
        return ImageUnsupported(
            "This is JPEG XL, which is read where the extra jxl is installed "
            f"(the Python package {PACKAGE})."
        )
    subject = f"This is {foreign}, and not" if foreign else "This is not"
    advice = " POST /api/v1/images takes archives, as `archive`." if foreign in (ZIP, TAR) else ""
    return ImageUnsupported(f"{subject} a picture in one of these formats: {names}.{advice}")


def _foreign(head: bytes) -> str | None:
    """The kind of a file that people take for a picture."""
    if SVG.match(head[:SIGNATURE_BYTES]):
        return "a drawing in SVG"
    starts = FOREIGN.items()
    return next((name for (at, sign), name in starts if head.startswith(sign, at)), None)


def _looks_accepted(head: bytes) -> bool:
    """Whether the file has the signature of an accepted format: then it is damaged."""
    boxed = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    brand = head[4:8] == b"ftyp" and head[8:12] in {b"avif", b"avis", b"heic", b"mif1"}
    optional = (JPEG_2000 in _also_read and _foreign(head) == "JPEG 2000") or (
        reads_jpeg_xl() and _foreign(head) == "JPEG XL"
    )
    return head.startswith(SIGNATURES) or boxed or brand or optional
