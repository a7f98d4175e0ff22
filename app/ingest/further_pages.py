"""The pages of a document, or frames of an animation or video, that follow the first one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.errors import ImageRejected, PageNotFound
from app.pictures.decoding import Picture, PillowImage, decode
from app.pictures.frames import MAX_PAGES
from app.pictures.thumbnails import encode_thumbnail
from app.pictures.video.containers import VIDEO_FORMATS
from app.pictures.video.frame_reading import VideoEnd, VideoTask, read_frames

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels

KEPT_THUMBNAIL = 256  # pixels: kept where it would take long to make one for a page of hits
FRAME_SIDE = 512  # pixels: the shorter side of a video's frame, more than models look at

Pages = Mapping[int, "Pixels"]
"""Prepared pictures of pages by their numbers, from 2."""


@dataclass(frozen=True)
class FurtherPages:
    """The pages after the first, prepared.

    `times` are the seconds of a video's frames, the first one's included; None where they are not
    looked for, and for other files.
    `thumbnails` are those of its frames after the first, KEPT_THUMBNAIL pixels large, by seconds:
    to make one takes as long as reading the video. `fault` says what of it could not be read.
    """

    pixels: Pages = field(default_factory=dict)
    times: tuple[float, ...] | None = None
    thumbnails: Mapping[float, bytes] = field(default_factory=dict)
    fault: str | None = None


def first_page(picture: Picture) -> FurtherPages:
    """What is known of the pages where no others than the first are read."""
    return FurtherPages(fault=picture.fault)


def read_further_pages(
    data: bytes,
    picture: Picture,
    max_megapixels: float,
    prepare: "Callable[[PillowImage], Pixels]",
    times: Sequence[float] | None = None,
) -> FurtherPages:
    """Decode the pages from 2 to MAX_PAGES of the file that was decoded to `picture`.

    Of a video the frames at `times`, where they are known, else those that stand for it. One that
    cannot be decoded is left out. Raises Busy.
    """
    if picture.format in VIDEO_FORMATS:
        return _read_frames(data, picture, max_megapixels, prepare, times)
    pages: dict[int, Pixels] = {}
    for page in range(2, min(picture.frames, MAX_PAGES) + 1):
        try:
            found = decode(data, max_megapixels, is_background=True, page=page)
        except (ImageRejected, PageNotFound):
            continue
        pages[page] = prepare(found.image)
    return FurtherPages(pages)


def _read_frames(
    data: bytes,
    picture: Picture,
    max_megapixels: float,
    prepare: "Callable[[PillowImage], Pixels]",
    times: Sequence[float] | None,
) -> FurtherPages:
    pages: dict[int, Pixels] = {}
    found: list[float] = []
    thumbnails: dict[float, bytes] = {}
    fault = picture.fault
    task = VideoTask(FRAME_SIDE, times)
    try:
        for one in read_frames(data, picture.format, task, max_megapixels, is_background=True):
            if isinstance(one, VideoEnd):
                fault = one.fault
                continue
            found.append(one.seconds)
            if len(found) > 1:
                pages[len(found)] = prepare(one.image)
                thumbnails[one.seconds] = encode_thumbnail(one.image, KEPT_THUMBNAIL)
    except ImageRejected as error:
        fault = str(error)
    return FurtherPages(pages, tuple(found) or None, thumbnails, fault)
