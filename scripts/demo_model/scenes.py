"""Scenes of one or two glyphs on a background: one at a time in Pillow, or in batches in torch.

Both ways share the bitmaps, the backgrounds and the placements, so that a model trained on the
batches knows the single pictures. Random numbers come from generators made by `stream`, whose
first word keeps training and test apart: the two can never draw the same scene.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageFont
from torch import Tensor
from torch.nn import functional

from scripts.demo_model.backgrounds import Background, all_backgrounds, paint
from scripts.demo_model.concepts import Concept, glyph_bitmap

Floats = NDArray[np.float64]

TRAIN_PX = 64
BACKGROUND_PX = 80
"""Backgrounds in the bank are larger than the picture, so they can be cut at a random place."""
BACKGROUNDS_PER_KIND = 80
TWO_GLYPH_SHARE = 0.22

ONE_SCALE = (0.42, 0.95)
TWO_SCALE = (0.32, 0.52)
"""Edge of a glyph's square as a share of the picture's."""
TURN_DEGREES = 10.0
MAX_TURN_DEGREES = 28.0

SHADOW_DEPTH = 0.35
SHADOW_SHIFT = 0.035
JPEG_SHARE = 0.12
JPEG_QUALITY = (30, 90)
BLUR_SHARE = 0.3
NOISE_SIGMA = 0.04
CONTRAST = 0.2
BRIGHTNESS = 0.1


class Stream(IntEnum):
    """The purpose of random numbers; no two purposes share any."""

    TRAINING = 1
    CHECK = 2
    TEST_IMAGES = 3
    VARIANTS = 4
    BACKGROUNDS = 5
    CAPTIONS = 6
    CAPTIONED_SCENES = 7
    CAPTIONER = 8
    SMALL_THINGS = 9


def stream(purpose: Stream, *seed: int) -> np.random.Generator:
    """The generator for one scene or batch; it depends only on purpose and seed."""
    return np.random.default_rng([int(purpose), *seed])


@dataclass(frozen=True)
class Placement:
    """Where glyphs are; all fields are float64 arrays of the same shape, one entry per glyph."""

    x: Floats
    """Centre, −1 (left edge) to 1 (right edge)."""
    y: Floats
    """Centre, −1 (top) to 1 (bottom)."""
    scale: Floats
    """Edge of the glyph's square as a share of the picture's."""
    turn: Floats
    """Radians, clockwise."""


def place_single(rng: np.random.Generator, count: int) -> Placement:
    """`count` glyphs, each alone in its picture; fields of shape (count,)."""
    scale = rng.uniform(*ONE_SCALE, count)
    x, y = rng.uniform(-1, 1, (2, count)) * (1.02 - scale)
    return Placement(x, y, scale, _turns(rng, count))


def place_pairs(rng: np.random.Generator, count: int) -> tuple[Placement, Placement]:
    """The left and the right glyph of `count` pictures; fields of shape (count,)."""
    slope = rng.uniform(-0.35, 0.35, count)
    return _half(rng, -1, slope), _half(rng, 1, slope)


def _half(rng: np.random.Generator, side: int, slope: Floats) -> Placement:
    count = len(slope)
    x = side * rng.uniform(0.42, 0.54, count)
    y = side * slope + rng.uniform(-0.12, 0.12, count)
    return Placement(x, y, rng.uniform(*TWO_SCALE, count), _turns(rng, count))


def _turns(rng: np.random.Generator, count: int) -> Floats:
    degrees = rng.normal(0, TURN_DEGREES, count).clip(-MAX_TURN_DEGREES, MAX_TURN_DEGREES)
    return np.asarray(np.deg2rad(degrees))


def compose(background: Floats, bitmaps: Sequence[Image.Image], places: Placement) -> Image.Image:
    """One RGB picture: glyphs with soft shadows over a (size, size, 3) background in 0..1."""
    size = len(background)
    picture = Image.fromarray((background * 255).round().astype(np.uint8)).convert("RGBA")
    for i, bitmap in enumerate(bitmaps):
        edge = round(places.scale[i] * size)
        glyph = bitmap.resize((edge, edge), Image.Resampling.LANCZOS)
        glyph = glyph.rotate(-np.rad2deg(places.turn[i]), Image.Resampling.BICUBIC, expand=True)
        left = round((places.x[i] + 1) / 2 * size - glyph.width / 2)
        top = round((places.y[i] + 1) / 2 * size - glyph.height / 2)
        layer = Image.new("RGBA", picture.size)
        layer.paste(glyph, (left, top))
        picture = Image.alpha_composite(picture, _shadow(layer))
        picture = Image.alpha_composite(picture, layer)
    return picture.convert("RGB")


def _shadow(layer: Image.Image) -> Image.Image:
    size = layer.width
    alpha = layer.getchannel("A").point(lambda a: int(a * SHADOW_DEPTH))
    shade = Image.new("RGBA", layer.size)
    shade.putalpha(alpha)
    low = Image.new("RGBA", layer.size)
    low.paste(shade, (0, round(SHADOW_SHIFT * size)))
    return low.filter(ImageFilter.GaussianBlur(SHADOW_SHIFT * size / 2))


@dataclass(frozen=True)
class Content:
    """What a scene shows, as needed for its captions."""

    shown: tuple[Concept, ...]
    background: Background


@dataclass(frozen=True)
class Compositions:
    """Where one glyph is, and where two are, in so many pictures."""

    single: Callable[[np.random.Generator, int], Placement]
    pairs: Callable[[np.random.Generator, int], tuple[Placement, Placement]]


class SceneBatches:
    """Renders batches of training scenes; bitmaps and backgrounds are kept in memory."""

    def __init__(
        self,
        concepts: Sequence[Concept],
        font: ImageFont.FreeTypeFont,
        device: torch.device,
        *,
        compositions: Compositions | None = None,
        is_degraded: bool = True,
    ) -> None:
        self.concepts = concepts
        self.device = device
        self._compositions = compositions or Compositions(place_single, place_pairs)
        self._is_degraded = is_degraded
        self.kinds = all_backgrounds()
        self._glyphs = _glyph_bank(concepts, font).to(device)
        self._grounds = _background_bank(self.kinds).to(device)

    def render(
        self, rng: np.random.Generator, chosen: NDArray[np.int64]
    ) -> tuple[Tensor, list[Content]]:
        """Scenes of the concepts `chosen` (n,): float32 (n, 3, 64, 64) in 0..1, and what they show.

        Some show a second concept, drawn at random.
        """
        count = len(chosen)
        pairs = rng.random(count) < TWO_GLYPH_SHARE
        others = rng.integers(len(self.concepts), size=count)
        ground_ids = rng.integers(len(self._grounds), size=count)
        pictures = self._cut_grounds(rng, ground_ids)
        single = self._compositions.single(rng, count)
        left, right = self._compositions.pairs(rng, count)
        first = _where(pairs, left, single)
        pictures = self._lay(rng, pictures, chosen, first)
        if pairs.any():
            at = torch.from_numpy(np.flatnonzero(pairs)).to(self.device)
            pictures[at] = self._lay(rng, pictures[at], others[pairs], _select(right, pairs))
        contents = [
            Content(
                shown=tuple(self.concepts[i] for i in ((a, b) if two else (a,))),
                background=self.kinds[ground // BACKGROUNDS_PER_KIND],
            )
            for a, b, two, ground in zip(chosen, others, pairs, ground_ids, strict=True)
        ]
        return degrade(rng, pictures) if self._is_degraded else pictures, contents

    def _cut_grounds(self, rng: np.random.Generator, ids: NDArray[np.int64]) -> Tensor:
        """Backgrounds (n, 3, 64, 64), all cut at the same random place, half of them mirrored."""
        top, left = rng.integers(0, BACKGROUND_PX - TRAIN_PX + 1, 2)
        cut = self._grounds[:, :, top : top + TRAIN_PX, left : left + TRAIN_PX]
        picked = cut[torch.from_numpy(ids).to(self.device)].float() / 255
        flip = self._tensor(rng.random(len(ids)) < 0.5)[:, None, None, None]
        return torch.where(flip, picked.flip(3), picked)

    def _lay(
        self,
        rng: np.random.Generator,
        pictures: Tensor,
        chosen: NDArray[np.int64],
        places: Placement,
    ) -> Tensor:
        """Lay glyphs and their shadows over `pictures` (n, 3, 64, 64)."""
        mirrors = np.array([self.concepts[i].mirrors for i in chosen])
        flip = np.where(mirrors & (rng.random(len(chosen)) < 0.5), -1.0, 1.0)
        theta = self._tensor(_inverse_affine(places, flip)).float()
        grid = functional.affine_grid(
            theta, [len(chosen), 4, TRAIN_PX, TRAIN_PX], align_corners=False
        )
        bank = self._glyphs[torch.from_numpy(chosen).to(self.device)].float() / 255
        drawn = functional.grid_sample(bank, grid, align_corners=False)
        colour, alpha = drawn[:, :3], drawn[:, 3:]
        depth = self._tensor(rng.uniform(0, SHADOW_DEPTH, len(chosen))).float()
        shade = functional.avg_pool2d(
            functional.pad(alpha, (1, 1, 3, 0))[:, :, : TRAIN_PX + 2], 3, 1
        )
        pictures = pictures * (1 - depth[:, None, None, None] * shade)
        return pictures * (1 - alpha) + colour

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _where(pairs: NDArray[np.bool_], yes: Placement, no: Placement) -> Placement:
    return Placement(
        *(np.where(pairs, getattr(yes, f), getattr(no, f)) for f in ("x", "y", "scale", "turn"))
    )


def _select(places: Placement, mask: NDArray[np.bool_]) -> Placement:
    return Placement(places.x[mask], places.y[mask], places.scale[mask], places.turn[mask])


def _inverse_affine(places: Placement, flip: Floats) -> Floats:
    """Affine maps (n, 2, 3) from a point in the picture to one in the glyph, both in −1..1."""
    cos, sin = np.cos(places.turn) / places.scale, np.sin(places.turn) / places.scale
    rows = [
        [flip * cos, flip * sin, -flip * (cos * places.x + sin * places.y)],
        [-sin, cos, sin * places.x - cos * places.y],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def degrade(rng: np.random.Generator, pictures: Tensor) -> Tensor:
    """Random brightness, contrast, blur, noise and JPEG loss, on (n, 3, h, w) in 0..1."""
    count, device = len(pictures), pictures.device

    def column(values: Floats) -> Tensor:
        return torch.from_numpy(values).float().to(device)[:, None, None, None]

    gain = column(1 + rng.uniform(-CONTRAST, CONTRAST, count))
    offset = column(rng.uniform(-BRIGHTNESS, BRIGHTNESS, count))
    pictures = (pictures - 0.5) * gain + 0.5 + offset
    soft = torch.from_numpy(np.flatnonzero(rng.random(count) < BLUR_SHARE)).to(device)
    pictures[soft] = functional.avg_pool2d(pictures[soft], 3, 1, 1, count_include_pad=False)
    grain = torch.from_numpy(rng.standard_normal(pictures.shape, dtype=np.float32)).to(device)
    pictures = pictures + column(rng.uniform(0, NOISE_SIGMA, count)) * grain
    return _jpeg_some(rng, pictures.clamp(0, 1))


def _jpeg_some(rng: np.random.Generator, pictures: Tensor) -> Tensor:
    for i in np.flatnonzero(rng.random(len(pictures)) < JPEG_SHARE):
        pixels = (pictures[i].permute(1, 2, 0) * 255).byte().cpu().numpy()
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "JPEG", quality=int(rng.integers(*JPEG_QUALITY)))
        again = np.asarray(Image.open(packed), dtype=np.float32) / 255
        pictures[i] = torch.from_numpy(again).permute(2, 0, 1).to(pictures.device)
    return pictures


def _glyph_bank(concepts: Sequence[Concept], font: ImageFont.FreeTypeFont) -> Tensor:
    """uint8 (n, 4, 64, 64); colour is premultiplied by alpha, so interpolation leaves no fringe."""
    bank = np.empty((len(concepts), 4, TRAIN_PX, TRAIN_PX), np.uint8)
    for i, concept in enumerate(concepts):
        small = glyph_bitmap(concept.glyph, font).resize(
            (TRAIN_PX, TRAIN_PX), Image.Resampling.LANCZOS
        )
        rgba = np.asarray(small, dtype=np.float32)
        rgba = np.dstack([rgba[..., :3] * rgba[..., 3:] / 255, rgba[..., 3]])
        bank[i] = rgba.round().astype(np.uint8).transpose(2, 0, 1)
    return torch.from_numpy(bank)


def _background_bank(kinds: Sequence[Background]) -> Tensor:
    """uint8 (kinds * BACKGROUNDS_PER_KIND, 3, 80, 80), kind by kind."""
    bank = np.empty((len(kinds), BACKGROUNDS_PER_KIND, BACKGROUND_PX, BACKGROUND_PX, 3), np.uint8)
    for k, kind in enumerate(kinds):
        for i in range(BACKGROUNDS_PER_KIND):
            ground = paint(kind, BACKGROUND_PX, stream(Stream.BACKGROUNDS, k, i))
            bank[k, i] = (ground * 255).round().astype(np.uint8)
    flat = bank.reshape(-1, BACKGROUND_PX, BACKGROUND_PX, 3).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(flat))
