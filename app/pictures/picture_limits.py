"""The pictures that are accepted: how large, and how narrow."""

from dataclasses import dataclass

from app.errors import ImageCorrupt, ImageTooLarge, ImageTooNarrow

MAX_ASPECT_RATIO = 100  # longer side : shorter side
MEGAPIXEL_TOLERANCE = 1.01  # a camera of 50 megapixels writes 50.1 million pixels
MAX_DRAFT_MEGAPIXELS = 8  # times the limit: JPEG is decoded at a reduced size, but not for free


@dataclass(frozen=True)
class PictureLimits:
    """The largest accepted picture: in megapixels (10^6 pixels), and in bytes of its file."""

    max_megapixels: float
    max_file_bytes: int


def check_size(full: tuple[int, int], decoded: tuple[int, int], max_megapixels: float) -> None:
    """Check the pixels to decode, of a picture that has `full` in its file: raise ImageTooLarge."""
    (width, height), pixels = full, decoded[0] * decoded[1]
    if pixels > max_megapixels * 1e6 * MEGAPIXEL_TOLERANCE:
        raise ImageTooLarge(
            f"The picture has {width} × {height} pixels; {max_megapixels:g} megapixels are allowed."
        )


def check_shape(size: tuple[int, int]) -> None:
    """Raise ImageTooNarrow, or ImageCorrupt where a side has no pixels."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageCorrupt("The picture has no pixels.")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ImageTooNarrow(
            f"The picture is {width} × {height} pixels; "
            f"one side may be at most {MAX_ASPECT_RATIO} times the other."
        )
