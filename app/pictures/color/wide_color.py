"""High dynamic range and wide gamuts that a file names by number, converted to sRGB.

PQ and HLG say how bright a pixel is on a screen (ITU-R BT.2100-2). Paper white is 203 cd/m² there
(ITU-R BT.2408-7, section 2.1), and becomes the white of sRGB; what is brighter keeps its hue and
is cut off there. That loses detail in highlights, not in the objects that people search for.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from app.pictures.color.coding_points import CodingPoints

PillowImage = Pillow.Image
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

PAPER_WHITE = 203.0  # cd/m²
PEAK = 1_000.0  # cd/m², of the screen that HLG is shown on
HLG_GAMMA = 1.2  # of the screen, at PEAK
BT2020_BRIGHTNESS = (0.2627, 0.6780, 0.0593)
PIECE_PIXELS = 100_000  # converted at a time, as 32-bit numbers
STEPS = 16_383  # of linear light, before sRGB's curve: less than a level each, also in the dark
PQ, HLG = 16, 18
SDR_CURVES = {1, 2, 6, 13, 14, 15}  # BT.709 and its like; screens show all as sRGB

TO_BT709 = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    12: ((1.2249, -0.2249, 0.0), (-0.0420, 1.0420, 0.0), (-0.0197, -0.0786, 1.0983)),
}
"""Linear light of BT.2020 (ITU-R BT.2087-0, section 4) and of Display P3, as that of BT.709."""


@dataclass(frozen=True)
class LightConversion:
    """Converts RGB pictures of these numbers through linear light."""

    points: CodingPoints
    mode: str = "RGB"

    def apply(self, image: PillowImage) -> PillowImage:
        """The RGB picture in sRGB."""
        levels = np.asarray(image)
        rows = max(1, PIECE_PIXELS // image.width)
        tops = range(0, image.height, rows)
        return Pillow.fromarray(
            np.concatenate([self._converted(levels[top : top + rows]) for top in tops])
        )

    def _converted(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Levels of the picture's own curve in sRGB's, both of shape (rows, width, 3)."""
        light = _curve(self.points.transfer)[levels]
        if self.points.transfer == HLG:
            brightness = light @ np.array(BT2020_BRIGHTNESS, np.float32)
            light *= brightness[..., None] ** (HLG_GAMMA - 1)
        if self.points.primaries in TO_BT709:
            light = light @ np.array(TO_BT709[self.points.primaries], np.float32).T
        np.clip(light, 0, None, out=light)
        light *= STEPS / np.maximum(1, light.max(axis=-1, keepdims=True))
        return _srgb_levels()[light.round().astype(np.uint16)]


def is_high_dynamic_range(points: CodingPoints | None) -> bool:
    """Whether the picture is in PQ or HLG."""
    return points is not None and points.transfer in {PQ, HLG}


def light_conversion(points: CodingPoints | None) -> LightConversion | None:
    """What converts a picture of these numbers to sRGB; None if it is sRGB, or if not known."""
    if points is None:
        return None
    is_wide = points.primaries in TO_BT709 and points.transfer in SDR_CURVES
    return LightConversion(points) if is_wide or is_high_dynamic_range(points) else None


@lru_cache(3)
def _curve(transfer: int) -> Floats:
    """Linear light relative to paper white of the levels 0 to 255, shape (256,).

    Of HLG the light of the scene, scaled so that the screen's is relative to paper white.
    """
    signal = np.arange(256) / 255
    if transfer == PQ:
        light = _pq(signal) / PAPER_WHITE
    elif transfer == HLG:
        light = _hlg_scene(signal) * (PEAK / PAPER_WHITE) ** (1 / HLG_GAMMA)
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _pq(signal: Doubles) -> Doubles:
    """The EOTF of PQ in cd/m² (BT.2100-2, table 4)."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    root = signal ** (1 / m2)
    light: Doubles = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    return light


def _hlg_scene(signal: Doubles) -> Doubles:
    """The inverse OETF of HLG (BT.2100-2, table 5); the screen's light is its power HLG_GAMMA."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


@lru_cache(1)
def _srgb_levels() -> NDArray[np.uint8]:
    """The levels of linear light from 0 to STEPS in sRGB's curve (IEC 61966-2-1)."""
    light = np.arange(STEPS + 1) / STEPS
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (curved * 255).round().astype(np.uint8)
