"""Measure a model on the bundled test pictures; exit with 1 if a figure is below its floor.

    python -m scripts.demo_model.evaluate

The measures are functions of embedding arrays, and `figures` takes any pair of encoders, so a test
can pass the application's own.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from app.encoders.encoder import OpenClipEncoder
from app.encoders.torch_models import openclip
from app.understanding.labels.labels import DEFAULT_TEMPLATES
from app.understanding.labels.prompts import encode_phrases
from scripts.demo_model.scenes import Stream, stream

Rows = NDArray[np.float32]
EncodeTexts = Callable[[list[str]], Rows]
EncodeImages = Callable[[list[Image.Image]], Rows]

MODEL = Path("data/models/demo")
PICTURES = Path("data/test_images")
MANIFEST = "manifest.csv"

FLOORS = {
    "caption → picture R@1": 0.85,
    "caption → picture R@5": 0.97,
    "Chinese name → picture R@5": 0.85,
    "variant → picture R@1": 0.95,
    "picture → one of 20 labels": 0.90,
}
LABELS = 20
SEVERAL = ";"  # between the things that one picture shows
CROP = (0.8, 0.95)
"""The edge of a variant's crop, as a share of the original's."""
TURN_DEGREES = 8.0
JPEG_QUALITY = 60


def read_manifest(folder: Path) -> list[dict[str, str]]:
    """The rows of manifest.csv: path, caption, concepts, caption_zh."""
    with (folder / MANIFEST).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def open_picture(path: Path) -> Image.Image:
    """A bundled picture as RGB."""
    with Image.open(path) as picture:
        return picture.convert("RGB")


def ranks(queries: Rows, gallery: Rows, wanted: Sequence[int]) -> NDArray[np.int64]:
    """For each query (n, d) the rank, from 0, of its picture in `gallery` (m, d).

    Both hold unit rows; ties count against the query.
    """
    scores = queries @ gallery.T
    own = scores[np.arange(len(queries)), list(wanted)]
    return np.asarray((scores >= own[:, None]).sum(1) - 1)


def recall(found: NDArray[np.int64], k: int) -> float:
    """The share of queries whose picture ranks among the first `k`."""
    return float((found < k).mean())


def variant(picture: Image.Image, seed: int) -> Image.Image:
    """The picture turned a little, cropped, and saved as a low-quality JPEG."""
    rng = stream(Stream.VARIANTS, seed)
    turned = picture.rotate(rng.uniform(-TURN_DEGREES, TURN_DEGREES), Image.Resampling.BICUBIC)
    edge = round(picture.width * rng.uniform(*CROP))
    left, top = (int(at) for at in rng.integers(0, picture.width - edge + 1, 2))
    packed = io.BytesIO()
    turned.crop((left, top, left + edge, top + edge)).save(packed, "JPEG", quality=JPEG_QUALITY)
    return Image.open(packed).convert("RGB")


def figures(
    encode_texts: EncodeTexts, encode_images: EncodeImages, manifest_dir: Path
) -> dict[str, float]:
    """Every recall, 0..1, by its name.

    The encoders return float32 unit rows (n, d) in the order of their input.
    """
    rows = read_manifest(manifest_dir)
    pictures = [open_picture(manifest_dir / row["path"]) for row in rows]
    gallery, order = encode_images(pictures), range(len(rows))
    english = ranks(encode_texts([row["caption"] for row in rows]), gallery, order)
    chinese = ranks(encode_texts([row["caption_zh"] for row in rows]), gallery, order)
    again = encode_images([variant(one, seed) for seed, one in enumerate(pictures)])
    variants = ranks(again, gallery, order)
    return {
        "caption → picture R@1": recall(english, 1),
        "caption → picture R@5": recall(english, 5),
        "Chinese name → picture R@1": recall(chinese, 1),
        "Chinese name → picture R@5": recall(chinese, 5),
        "variant → picture R@1": recall(variants, 1),
        **{
            f"picture → one of {len(names)} labels": top_label(encode_texts, gallery, rows, names)
            for names in (label_names(rows)[:LABELS], label_names(rows))
        },
    }


def label_names(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """What pictures that show one thing show, the most frequent things first."""
    shown = Counter(row["concepts"] for row in rows if SEVERAL not in row["concepts"])
    return [name for name, _ in shown.most_common()]


def top_label(
    encode_texts: EncodeTexts,
    gallery: Rows,
    rows: Sequence[Mapping[str, str]],
    names: Sequence[str],
) -> float:
    """The share of pictures that show one of these things whose most probable label it is."""
    labels = encode_phrases(lambda texts: encode_texts(list(texts)), names, DEFAULT_TEMPLATES)
    shown = [n for n, row in enumerate(rows) if row["concepts"] in names]
    best = (gallery[shown] @ labels.T).argmax(axis=1)
    return float(
        np.mean([rows[n]["concepts"] == names[top] for n, top in zip(shown, best, strict=True)])
    )


def below_floors(measured: dict[str, float]) -> list[str]:
    """A sentence for each figure that is below its floor."""
    return [
        f"{name} is {measured[name]:.3f}, under its floor {floor}"
        for name, floor in FLOORS.items()
        if measured[name] < floor
    ]


def encoders_of(encoder: OpenClipEncoder) -> tuple[EncodeTexts, EncodeImages]:
    """The application's encoder as the two callables that `figures` takes."""

    def encode_images(pictures: list[Image.Image]) -> Rows:
        return encoder.encode_pixels([encoder.prepare(one) for one in pictures])

    return encoder.encode_texts, encode_images


def main(
    model: Annotated[Path, typer.Option(help="Folder of config and weights.")] = MODEL,
    pictures: Annotated[Path, typer.Option(help="Folder with manifest.csv.")] = PICTURES,
) -> None:
    """Print the figures; exit with 1 when one is below its floor."""
    encoder = openclip.load(f"local-dir:{model}", "", "cpu")
    measured = figures(*encoders_of(encoder), pictures)
    for name, value in measured.items():
        floor = f"  (floor {FLOORS[name]})" if name in FLOORS else ""
        typer.echo(f"{name:<28} {value:.3f}{floor}")
    failures = below_floors(measured)
    for sentence in failures:
        typer.echo(sentence, err=True)
    raise typer.Exit(bool(failures))


if __name__ == "__main__":
    typer.run(main)
