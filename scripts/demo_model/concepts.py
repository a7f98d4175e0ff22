"""The concepts that scenes are made of: one glyph each, its names, synonyms and colour.

A concept is an emoji that the font really draws as one glyph: a single code point, or a joined
sequence without a gender ("astronaut", "polar bear"). Names come from the `emoji`
package (Unicode CLDR short names); `synonyms.csv` beside this file adds the words that people
type ("tree", "sports car", "plane").
"""

import csv
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import emoji
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

NOTO_COLOR_EMOJI = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
"""Where Debian's package fonts-noto-color-emoji puts the font; every script has `--font`."""

SYNONYMS = Path(__file__).with_name("synonyms.csv")
STRIKE_PX = 109
"""The font holds bitmaps of this one size only."""
CANVAS_PX = 136
"""The width of a bitmap at that size."""
LANGUAGES = ("en", "zh", "es", "fr", "de")
VARIATION_SELECTOR = "\ufe0f"
JOINER = "\u200d"
LEFT_OUT = re.compile(r"\b(man|men|woman|women|family|couple|kiss|people|hands|flag)\b|skin tone")
"""Sequences whose pictures look too much like others to be told apart at 64 pixels."""

MIRROR_CHANGES = re.compile(
    r"\b(left|right|clockwise|counterclockwise|thirty|o'clock|button|sign|arrow|arrows|keycap|symbols"
    r"|letters|latin|numbers|crescent|gibbous|quarter|tilted|backhand|pointing|calendar|mark"
    r"|information|hundred|musical|mirrored)\b"
)
"""A glyph whose name holds one of these words means something else in a mirror."""

HUES = (
    (12, "red"),
    (40, "orange"),
    (66, "yellow"),
    (165, "green"),
    (255, "blue"),
    (295, "purple"),
    (340, "pink"),
    (360, "red"),
)
"""Upper bounds of hue in degrees."""
COLOUR_SHARE = 0.42
"""A glyph is said to have a colour that covers at least this share of what is drawn."""
OPAQUE = 128
"""Alpha from which a pixel counts as drawn."""

# Colours whose name depends on more than the hue; saturation and value in 0..1.
TAN_BELOW_VALUE, TAN_BELOW_SATURATION = 0.85, 0.62
"""Orange that is darker or paler is called brown."""
MAROON_BELOW_VALUE = 0.5
"""So is red that is darker than this."""
PINK_BELOW_SATURATION, PINK_ABOVE_VALUE = 0.55, 0.8
"""Red that is pale and light is called pink,"""
SKIN_BELOW_HUE, SKIN_BELOW_SATURATION, SKIN_ABOVE_VALUE = 25, 0.5, 0.85
"""and so is the colour of a pig."""
GREY_BELOW_SATURATION = 0.18
WHITE_BELOW_SATURATION, WHITE_ABOVE_VALUE = 0.12, 0.86
BLACK_BELOW_VALUE = 0.36


@dataclass(frozen=True)
class Concept:
    """One glyph and what people call it."""

    glyph: str
    names: dict[str, str]
    """Language code → name; `en` and `zh` are always there."""
    synonyms: tuple[str, ...]
    synonyms_zh: tuple[str, ...]
    colour: str | None
    """The English word for the dominant colour, if there is one."""
    mirrors: bool
    """Whether the glyph means the same in a mirror."""

    @property
    def name(self) -> str:
        """The English name."""
        return self.names["en"]


def glyph_bitmap(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The glyph centred on a transparent RGBA square of CANVAS_PX.

    Empty if the font does not draw it, or draws a sequence as several glyphs in a row.
    """
    drawn = _drawn(glyph, font)
    box = drawn.getchannel("A").getbbox()
    square = Image.new("RGBA", (CANVAS_PX, CANVAS_PX))
    if box is not None and box[2] - box[0] <= CANVAS_PX:
        cut = drawn.crop(box)
        square.paste(cut, ((CANVAS_PX - cut.width) // 2, (CANVAS_PX - cut.height) // 2))
    return square


def _drawn(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The text drawn with straight alpha.

    Pillow blends text into a transparent picture as if that were black, which leaves a dark rim.
    The difference between a drawing on black and one on white is exactly what shows through.
    """
    on = []
    for ground in (0, 255):
        picture = Image.new("RGB", (3 * CANVAS_PX, 2 * CANVAS_PX), (ground,) * 3)
        ImageDraw.Draw(picture).text((0, 0), glyph, font=font, embedded_color=True)
        on.append(np.asarray(picture, dtype=np.float32))
    alpha = (255 - (on[1] - on[0]).mean(2, keepdims=True)).clip(0, 255)
    colour = (on[0] * 255 / alpha.clip(min=1)).clip(0, 255)
    return Image.fromarray(np.dstack([colour, alpha]).round().astype(np.uint8), "RGBA")


def open_font(path: Path) -> ImageFont.FreeTypeFont:
    """The colour font at its only size; joined sequences need Raqm, which Pillow's wheels have."""
    return ImageFont.truetype(str(path), STRIKE_PX, layout_engine=ImageFont.Layout.RAQM)


def load_concepts(font: ImageFont.FreeTypeFont) -> list[Concept]:
    """Every concept the font draws, ordered by code point."""
    for language in LANGUAGES:
        emoji.config.load_language(language)
    extra = _synonyms()
    qualified = emoji.STATUS["fully_qualified"]
    found: list[Concept] = []
    for written, entry in sorted(emoji.EMOJI_DATA.items()):
        glyph = written if JOINER in written else written.replace(VARIATION_SELECTOR, "")
        if not _is_wanted(glyph, entry) or entry["status"] != qualified:
            continue
        bitmap = glyph_bitmap(glyph, font)
        if bitmap.getbbox() is not None:
            found.append(_concept(glyph, entry, bitmap, extra))
    return found


def _is_wanted(glyph: str, entry: dict[str, str]) -> bool:
    if "zh" not in entry:
        return False
    return len(glyph) == 1 or (JOINER in glyph and not LEFT_OUT.search(_plain(entry["en"])))


def _concept(
    glyph: str, entry: dict[str, str], bitmap: Image.Image, extra: dict[str, dict[str, str]]
) -> Concept:
    names = {code: _plain(entry[code]) for code in LANGUAGES if code in entry}
    words = extra.get(names["en"], {})
    return Concept(
        glyph=glyph,
        names=names,
        synonyms=_split(words.get("synonyms", "")),
        synonyms_zh=_split(words.get("zh", "")),
        colour=words.get("colour") or dominant_colour(bitmap),
        mirrors=not MIRROR_CHANGES.search(names["en"]),
    )


def _plain(name: str) -> str:
    return name.strip(":").replace("_", " ").replace("’", "'").lower()


def _split(cell: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in cell.split(";") if word.strip())


@functools.cache
def _synonyms() -> dict[str, dict[str, str]]:
    with SYNONYMS.open(encoding="utf-8", newline="") as lines:
        return {row["name"]: row for row in csv.DictReader(lines)}


def dominant_colour(bitmap: Image.Image) -> str | None:
    """The English word for the colour that covers most of an RGBA bitmap, if one does."""
    opaque = np.asarray(bitmap)[..., 3] >= OPAQUE
    hsv = np.asarray(bitmap.convert("RGB").convert("HSV"))[opaque]
    words = colour_words(hsv)
    names, counts = np.unique(words, return_counts=True)
    best = int(counts.argmax())
    return str(names[best]) if counts[best] >= COLOUR_SHARE * len(words) else None


def colour_words(hsv: NDArray[np.uint8]) -> NDArray[np.str_]:
    """The colour word of each pixel; `hsv` is (n, 3) uint8 as Pillow gives it."""
    hue = hsv[:, 0] * (360 / 255)
    saturation, value = hsv[:, 1] / 255, hsv[:, 2] / 255
    bounds = [bound for bound, _ in HUES]
    place = np.searchsorted(bounds, hue, side="right").clip(max=len(HUES) - 1)
    words: NDArray[np.str_] = np.array([word for _, word in HUES], dtype="<U6")[place]
    pale_orange = (value < TAN_BELOW_VALUE) | (saturation < TAN_BELOW_SATURATION)
    pale_red = (saturation < PINK_BELOW_SATURATION) & (value > PINK_ABOVE_VALUE)
    skin = (saturation < SKIN_BELOW_SATURATION) & (value > SKIN_ABOVE_VALUE)
    words[(words == "orange") & pale_orange] = "brown"
    words[(words == "red") & (value < MAROON_BELOW_VALUE)] = "brown"
    words[(words == "red") & pale_red] = "pink"
    words[(hue < SKIN_BELOW_HUE) & skin] = "pink"
    words[saturation < GREY_BELOW_SATURATION] = "grey"
    words[(saturation < WHITE_BELOW_SATURATION) & (value > WHITE_ABOVE_VALUE)] = "white"
    words[value < BLACK_BELOW_VALUE] = "black"
    return words
