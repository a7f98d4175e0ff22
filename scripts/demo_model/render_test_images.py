"""Render the bundled test pictures: data/test_images/ and its manifest.

    python -m scripts.demo_model.render_test_images

The content comes from `test_scenes.csv` (concepts, the caption's words for them, background); the
composition comes from random numbers of `Stream.TEST_IMAGES`, which training never draws from.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image, ImageFont

from scripts.demo_model.backgrounds import LANDSCAPES, Background, all_backgrounds, paint
from scripts.demo_model.concepts import (
    NOTO_COLOR_EMOJI,
    Concept,
    glyph_bitmap,
    load_concepts,
    open_font,
)
from scripts.demo_model.scenes import Placement, Stream, compose, stream

OUT = Path("data/test_images")
SCENES = Path(__file__).with_name("test_scenes.csv")
MANIFEST = "manifest.csv"
COLUMNS = ("path", "caption", "concepts", "caption_zh")

SIZE_PX = 384
ONE_SCALE = (0.58, 0.74)
TWO_SCALE = (0.37, 0.46)
DRIFT = 0.1
"""How far a single glyph may be from the centre, as a share of half the picture."""
TURN_DEGREES = 6.0
GROUNDED = frozenset(ground.name for ground in LANDSCAPES) - {"night", "sky", "sunset"}
GROUND_DROP = 0.14
"""How much lower glyphs are placed on a landscape with a ground."""

FORMATS: dict[str, dict[str, Any]] = {
    "jpg": {"quality": 90},
    "webp": {"quality": 88, "method": 6},
    "png": {"optimize": True},
    "tif": {"compression": "tiff_adobe_deflate"},
    "gif": {},
    "bmp": {},
}
OFTEN = ("jpg", "jpg", "webp", "jpg", "png", "jpg", "jpg", "webp", "jpg", "jpg")
SELDOM = {7: "tif", 31: "gif", 63: "tif", 87: "gif", 95: "bmp"}
"""The positions in each hundred pictures that get a rarer format."""


@dataclass(frozen=True)
class Scene:
    """One row of test_scenes.csv."""

    index: int
    concepts: tuple[Concept, ...]
    words: tuple[str, ...]
    background: Background

    @property
    def caption(self) -> str:
        """The English caption, such as "a green tree in a meadow"."""
        return f"{' and '.join(self.words)} {self.background.phrases[0]}"

    @property
    def caption_zh(self) -> str:
        """The Chinese names of the concepts."""
        return "和".join(one.names["zh"] for one in self.concepts)

    @property
    def slug(self) -> str:
        """A file name without articles, such as "sports-car-and-dog"."""
        bare = " and ".join(re.sub(r"^(a|an|the) ", "", word) for word in self.words)
        return re.sub(r"[^a-z0-9]+", "-", bare)

    @property
    def ending(self) -> str:
        """The file name's extension, which sets the format."""
        return SELDOM.get(self.index % 100, OFTEN[self.index % len(OFTEN)])


def read_scenes(concepts: list[Concept]) -> list[Scene]:
    """All scenes, in the order of the file."""
    by_name = {one.name: one for one in concepts}
    grounds = {one.name: one for one in all_backgrounds()}
    with SCENES.open(encoding="utf-8", newline="") as lines:
        return [
            Scene(
                index=index,
                concepts=tuple(by_name[name] for name in row["concepts"].split(";")),
                words=tuple(row["words"].split(";")),
                background=grounds[row["background"]],
            )
            for index, row in enumerate(csv.DictReader(lines))
        ]


def render(scene: Scene, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The scene as RGB, SIZE_PX square; the same in every run."""
    rng = stream(Stream.TEST_IMAGES, scene.index)
    ground = paint(scene.background, SIZE_PX, rng)
    bitmaps = [glyph_bitmap(one.glyph, font) for one in scene.concepts]
    drop = GROUND_DROP if scene.background.name in GROUNDED else 0.0
    return compose(ground, bitmaps, place(rng, len(bitmaps), drop))


def place(rng: np.random.Generator, count: int, drop: float) -> Placement:
    """A calm composition of one or two glyphs, `drop` below the middle."""
    turn = np.deg2rad(rng.uniform(-TURN_DEGREES, TURN_DEGREES, count))
    if count == 1:
        x, y = rng.uniform(-DRIFT, DRIFT, (2, 1))
        return Placement(x, y + drop, rng.uniform(*ONE_SCALE, 1), turn)
    x = np.array([-0.46, 0.46]) + rng.uniform(-0.03, 0.03, 2)
    y = np.array([-1, 1]) * rng.uniform(-0.12, 0.12) + drop
    return Placement(x, y, rng.uniform(*TWO_SCALE, 2), turn)


def named(scenes: list[Scene]) -> Iterator[tuple[Scene, str]]:
    """Each scene with a unique file name; the background's name is added to repeated slugs."""
    taken: set[str] = set()
    for scene in scenes:
        name = scene.slug if scene.slug not in taken else f"{scene.slug}-{scene.background.name}"
        taken.add(name)
        yield scene, f"{name}.{scene.ending}"


def main(
    out: Annotated[Path, typer.Option(help="Folder for pictures and manifest.")] = OUT,
    font: Annotated[Path, typer.Option(exists=True)] = NOTO_COLOR_EMOJI,
) -> None:
    """Render every test picture and write the manifest."""
    glyphs = open_font(font)
    out.mkdir(parents=True, exist_ok=True)
    with (out / MANIFEST).open("w", encoding="utf-8", newline="") as lines:
        manifest = csv.writer(lines, lineterminator="\n")
        manifest.writerow(COLUMNS)
        for scene, name in named(read_scenes(load_concepts(glyphs))):
            render(scene, glyphs).save(out / name, **FORMATS[scene.ending])
            concepts = ";".join(one.name for one in scene.concepts)
            manifest.writerow([name, scene.caption, concepts, scene.caption_zh])
    typer.echo(f"{scene.index + 1} pictures in {out}")


if __name__ == "__main__":
    typer.run(main)
