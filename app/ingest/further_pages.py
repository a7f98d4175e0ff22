"""The pages of a document, or frames of an animation, that follow the first one."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from app.errors import ImageRejected, PageNotFound
from app.pictures.decoding import Picture, PillowImage, decode
from app.pictures.frames import MAX_PAGES

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels

Pages = Mapping[int, "Pixels"]
"""Prepared pictures of pages by their numbers, from 2."""


def read_further_pages(
    data: bytes,
    picture: Picture,
    max_megapixels: float,
    prepare: "Callable[[PillowImage], Pixels]",
) -> Pages:
    """Decode the pages from 2 to MAX_PAGES of the file that was decoded to `picture`.

    One that cannot be decoded is left out. Raises Busy.
    """
    pages: dict[int, Pixels] = {}
    for page in range(2, min(picture.frames, MAX_PAGES) + 1):
        try:
            found = decode(data, max_megapixels, is_background=True, page=page)
        except (ImageRejected, PageNotFound):
            continue
        pages[page] = prepare(found.image)
    return pages
