"""Thumbnails beside lines of text, in terminals that show pictures by kitty's protocol or Sixel."""

import io
import os
import sys
import termios
from collections.abc import Iterable
from typing import TYPE_CHECKING

from PIL import Image as Pillow
from PIL import ImageOps
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 4  # of text that a picture is high
COLUMNS = 16  # that it is wide at most
WIDE = 2  # times its height: such a picture fills COLUMNS before ROWS; a character is 1 by 2
NARROWEST = 4  # times as long as the other side: of longer pictures the middle is shown


def can_be_shown() -> bool:
    """Whether the terminal says that it shows pictures; one that says nothing costs 0.2 s.

    It is not asked where standard input or output is none, or where waiting for the answer would
    stop this process: in the background.
    """
    try:
        return _can_be_asked() and _says_that_it_shows()
    except (OSError, ValueError, termios.error):  # it is gone, or somebody typed in between
        return False


def _can_be_asked() -> bool:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    is_known = os.environ.get("TERM", "") not in {"", "dumb"}
    is_in_front = os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    has_size = os.get_terminal_size(sys.stdout.fileno()).columns > 0  # the library divides by it
    return is_known and is_in_front and has_size


def _says_that_it_shows() -> bool:
    from textual_image.renderable import Image, SixelImage, TGPImage  # importing it asks

    return Image in {SixelImage, TGPImage}


def show(rows: Iterable[tuple[bytes | None, str]]) -> None:
    """Print lines with the pictures, as files, that stand before them."""
    grid = Table.grid(padding=(0, 1))
    for picture, line in rows:
        grid.add_row(_picture(picture) if picture else "", Text(line, overflow="fold"))
    # kitty finds a picture's place by a color that is its number: all colors, also with NO_COLOR.
    Console(color_system="truecolor", no_color=False).print(grid)


def _picture(data: bytes) -> "RenderableType":
    from textual_image.renderable import Image

    whole = Pillow.open(io.BytesIO(data)).convert("RGB")
    width, height = whole.size
    shown = ImageOps.fit(whole, (min(width, NARROWEST * height), min(height, NARROWEST * width)))
    if shown.width > WIDE * shown.height:
        return Image(shown, width=COLUMNS, height="auto")
    return Image(shown, width="auto", height=ROWS)
