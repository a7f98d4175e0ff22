"""Safe decoding of untrusted image files (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC).

The checks run from cheap to expensive: the format must be in FORMATS, then the size and shape
are checked from the header, and only then are pixels decoded. Whatever a decoder raises becomes
a subclass of `ImageRejected`.
"""

import io
import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from traceback import clear_frames

from PIL import Image as Pillow

from app.errors import (
    Busy,
    ImageCorrupt,
    ImageRejected,
    ImageTooLarge,
    PageNotFound,
)
from app.pictures.color.coding_points import read_coding_points
from app.pictures.color.conversion import ColorConversion, to_rgb
from app.pictures.color.profiles import srgb_conversion
from app.pictures.color.wide_color import is_high_dynamic_range, light_conversion
from app.pictures.formats import JPEG_FORMATS, SIGNATURE_BYTES, open_picture, unread_tiff
from app.pictures.frames import MAX_FRAMES, count_frames, go_to_page
from app.pictures.jpeg import (
    END_OF_IMAGE,
    INK,
    START_OF_JPEG,
    check_jpeg,
    read_frame,
    with_end_marker,
)
from app.pictures.memory_budget import DECODING_MEMORY
from app.pictures.memory_estimate import memory_needed
from app.pictures.metadata.description import Description
from app.pictures.metadata.embedded_metadata import read_description
from app.pictures.motion_photos import film_offset
from app.pictures.orientation import (
    SIDEWAYS,
    pass_over_xmp_orientation,
    read_orientation,
    upright,
)
from app.pictures.picture_limits import MAX_DRAFT_MEGAPIXELS, check_shape, check_size
from app.pictures.raw.camera_raw import RawFile, read_raw
from app.pictures.tiff_kinds import unread_kind
from app.pictures.video.containers import video_format
from app.pictures.video.frame_reading import VideoTask, read_video_frame
from app.pictures.video.video_tags import read_tags

PillowImage = Pillow.Image

UNREDUCED = 1_000_000  # pixels: a draft side that no picture has
FILMED_FORMATS = {"JPEG", "HEIF"}  # which phones write with a film
NUMBERED_FORMATS = {"AVIF", "HEIF", "JXL", "PNG"}  # which may name their colors by number
DRAFT_SIDE = 1024  # pixels: larger pictures are reduced, but their shorter side not below this
MAX_RESULT_PIXELS = 8_000_000  # of a decoded picture; panoramas are reduced below DRAFT_SIDE
UNKNOWN_LAYOUT = "unknown raw mode"  # said by Pillow of pixels that it opens, but cannot unpack


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    `image` is 8-bit sRGB with its Exif orientation applied, and may be smaller than the original.
    `format` is a name of FORMATS. `width` and `height` are the original's in that orientation, in
    pixels. `film_offset` is where in the file of a motion photo its film begins, in bytes;
    `frames` how many frames or pages the file has, of which this is the first. Of a video `seconds`
    is when the frame is shown, `duration` how many seconds the whole takes, and `fault` what of it
    could not be read.
    """

    image: PillowImage
    format: str
    width: int
    height: int
    description: Description
    film_offset: int | None = None
    frames: int = 1
    seconds: float | None = None
    duration: float | None = None
    fault: str | None = None


def decode(
    data: bytes,
    max_megapixels: float,
    draft_side: int = DRAFT_SIDE,
    *,
    is_background: bool = False,
    page: int = 1,
    seconds: float | None = None,
) -> Picture:
    """Decode a file's bytes; a large picture is reduced by an integer factor.

    The shorter side is not reduced below `draft_side` pixels, except where the picture would
    have more than MAX_RESULT_PIXELS. Waits for memory, see `MemoryBudget`; `is_background` waits
    longer and after others. `page` is one of its frames or pages, counted from 1; `seconds` is
    the time of a video's frame, None for the first that stands for it.
    Raises ImageUnsupported, ImageTooLarge, ImageTooNarrow, ImageCorrupt, PageNotFound or Busy.
    """
    if (kind := video_format(data[:SIGNATURE_BYTES])) is not None:
        if page > 1 and seconds is None:
            raise PageNotFound(f"The video's page {page} is not indexed.")
        task = VideoTask(draft_side, None if seconds is None else [seconds], 1)
        return _decode_video(data, kind, task, max_megapixels, is_background=is_background)
    raw = read_raw(data)
    data = raw.require_preview() if raw else data
    decoder = _Decoder(max_megapixels, draft_side, is_background, raw, page)
    try:
        return decoder.decode(data)
    except ImageCorrupt:
        complete = _with_end_marker(data, decoder)
        if complete is None:
            raise
        return decoder.decode(complete)


def _decode_video(
    data: bytes, kind: str, task: VideoTask, max_megapixels: float, *, is_background: bool
) -> Picture:
    frame, end = read_video_frame(data, kind, task, max_megapixels, is_background=is_background)
    check_shape((frame.width, frame.height))
    return Picture(
        frame.image,
        kind,
        frame.width,
        frame.height,
        read_tags(end.tags),
        frames=max(1, min(end.frames, MAX_FRAMES)),
        seconds=frame.seconds,
        duration=end.duration,
        fault=end.fault,
    )


def _with_end_marker(data: bytes, decoder: "_Decoder") -> bytes | None:
    """A JPEG that lacks nothing but its end marker, with the marker; None for any other file."""
    complete = with_end_marker(data) if data.startswith(START_OF_JPEG) else None
    if complete is None:
        return None
    if read_frame(data).is_progressive:  # details come last, and do not show at 1/8
        decoder = replace(decoder, draft_side=UNREDUCED)
    inked = complete.removesuffix(END_OF_IMAGE) + INK + END_OF_IMAGE
    try:
        is_complete = decoder.decode(complete).image == decoder.decode(inked).image
    except ImageRejected:
        return None
    return complete if is_complete else None


@dataclass(frozen=True)
class _Decoder:
    max_megapixels: float
    draft_side: int
    is_background: bool
    raw: RawFile | None = None  # the file that has the picture as its preview
    page: int = 1

    def decode(self, data: bytes) -> Picture:
        with ExitStack() as memory:  # given back when the decoder and its image are gone
            try:
                check_jpeg(data)
                return self._decode(data, memory)
            except Exception as error:
                clear_frames(error.__traceback__)
                if isinstance(error, ImageRejected | PageNotFound | Busy):
                    raise
                raise _rejection(error, data) from error

    def _decode(self, data: bytes, memory: ExitStack) -> Picture:
        with open_picture(io.BytesIO(data)) as image:
            if self.page > 1:
                go_to_page(image, data, self.page)
            full = image.size
            is_jpeg = image.format in JPEG_FORMATS
            limit = self.max_megapixels
            check_size(full, full, limit * MAX_DRAFT_MEGAPIXELS if is_jpeg else limit)
            check_shape(full)
            factor = _reduction(full, self.draft_side)
            drafted = image.draft("RGB", (full[0] // factor, full[1] // factor))  # only JPEG has it
            check_size(full, image.size, limit)
            factor = _reduction(image.size, self.draft_side)
            needed = memory_needed(image, full, factor, data)
            background = self.is_background
            memory.enter_context(DECODING_MEMORY.reserve(needed, is_background=background))
            frames = count_frames(image, data)
            pass_over_xmp_orientation(image)
            image.load()  # Pillow's TIFF plugin transposes here, and removes the orientation tag
            orientation = self._orientation(image)
            width, height = full if drafted else image.size
            if orientation in SIDEWAYS:
                width, height = height, width
            description = read_description(image, data)
            turned = upright(to_rgb(image, factor, _color_conversion(image, data)), orientation)
            name = "JPEG" if is_jpeg else image.format or ""
            name = self.raw.format if self.raw else name
            film = film_offset(data, _xmp(image)) if name in FILMED_FORMATS else None
            return Picture(turned, name, width, height, description, film, frames)

    def _orientation(self, image: PillowImage) -> int:
        """The picture's orientation; a preview gets the raw file's Exif and XMP if it has none."""
        if self.raw is None:
            return read_orientation(image)
        for key, value in (("exif", self.raw.exif), ("xmp", self.raw.xmp)):
            if value:
                image.info.setdefault(key, value)
        return self.raw.orientation or read_orientation(image)


def _reduction(size: tuple[int, int], draft_side: int) -> int:
    """The integer factor by which a picture is reduced."""
    pixels = size[0] * size[1]
    return max(1, min(size) // draft_side, math.ceil(math.sqrt(pixels / MAX_RESULT_PIXELS)))


def _xmp(image: PillowImage) -> bytes:
    packet = image.info.get("xmp", b"")
    return packet if isinstance(packet, bytes) else str(packet).encode()


def _color_conversion(image: PillowImage, data: bytes) -> ColorConversion | None:
    """What converts the picture's colors to sRGB; None if they are sRGB, or if nothing tells.

    A profile goes before the container's numbers, except for a high dynamic range, which profiles
    describe for screens that show it.
    """
    points = read_coding_points(data) if image.format in NUMBERED_FORMATS else None
    if is_high_dynamic_range(points):
        return light_conversion(points)
    return srgb_conversion(image) or (
        None if image.info.get("icc_profile") else light_conversion(points)
    )


def _rejection(error: Exception, data: bytes) -> ImageRejected:
    """What an exception of a decoder means; decoders raise any type on damaged files."""
    kind = unread_kind(io.BytesIO(data)) if UNKNOWN_LAYOUT in str(error) else None
    if kind is not None:
        return unread_tiff(kind)
    if isinstance(error, Pillow.DecompressionBombError):
        return ImageTooLarge(f"The picture has too many pixels: {error}.")
    if isinstance(error, MemoryError):
        return ImageTooLarge("The picture needs more memory than there is.")
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return ImageCorrupt(f"The picture is damaged or truncated: {reason}.")
