"""Measure the demo captioner on the bundled pictures; exit with 1 if a figure is below its floor.

    python -m scripts.demo_model.evaluate_captions

A thing that a picture shows counts as named if its name or one of its synonyms is in the caption.
Searches are for every English and Chinese name that this repository knows of what they show
(`relevant_pictures.py`): by the pictures' vectors alone, and fused with the ranking by the meaning
of the generated captions, as searches with `hybrid.captions` fuse them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from app.encoders.torch_models import captioning, openclip
from app.feedback.rocchio import ndcg
from app.search.reciprocal_rank_fusion import Fusion
from scripts.demo_model.concepts import NOTO_COLOR_EMOJI, Concept, load_concepts, open_font
from scripts.demo_model.evaluate import (
    MODEL,
    PICTURES,
    SEVERAL,
    Rows,
    encoders_of,
    open_picture,
    read_manifest,
)
from scripts.demo_model.relevant_pictures import truths

CAPTIONER = Path("data/models/demo-captioner")
WEIGHTS = (0.1, 0.25, 0.5, 1.0)  # of the ranking by captions, beside 1 for the pictures'
BATCH = 32
K = 10
DEPTH = 200  # ranks that are fused
FLOORS = {"things named": 0.6}


def described(captioner: captioning.CocaCaptioner, pictures: Sequence[Image.Image]) -> list[str]:
    """The captions of pictures."""
    found = []
    for start in range(0, len(pictures), BATCH):
        found += captioner.describe(pictures[start : start + BATCH])
    return [one.text for one in found]


def named_shares(
    captions: Sequence[str], rows: Sequence[Mapping[str, str]], concepts: Sequence[Concept]
) -> dict[str, float]:
    """The share of things that are named, of pictures all of whose things are, and of both wholly.

    The last is exact: the caption names all things, and the background by the manifest's words.
    """
    words = {one.name: (one.name, *one.synonyms) for one in concepts}
    named = [
        [_holds(caption, words[name]) for name in row["concepts"].split(SEVERAL)]
        for caption, row in zip(captions, rows, strict=True)
    ]
    same = [caption == row["caption"] for caption, row in zip(captions, rows, strict=True)]
    return {
        "things named": float(np.mean([one for picture in named for one in picture])),
        "pictures with all named": float(np.mean([all(picture) for picture in named])),
        "the manifest's own caption": float(np.mean(same)),
    }


def _holds(caption: str, words: Sequence[str]) -> bool:
    return any(re.search(rf"\b{re.escape(word)}\b", caption) for word in words)


def mean_ndcg(
    queries: Rows, relevant: Sequence[set[int]], gallery: Rows, captions: Rows, weight: float
) -> float:
    """nDCG@10, mean over queries (n, d); `gallery` and `captions` are unit rows of the pictures."""
    fusion, found = Fusion(alpha=1, third=weight), []
    for query, wanted in zip(queries, relevant, strict=True):
        by_look = np.argsort(-(gallery @ query), kind="stable")[:DEPTH].tolist()
        by_caption = np.argsort(-(captions @ query), kind="stable")[:DEPTH].tolist()
        fused = [one.id for one in fusion.fuse(by_look, (), DEPTH, by_caption)]
        found.append(ndcg([float(one in wanted) for one in fused[:K]], [1.0] * len(wanted), K))
    return float(np.mean(found))


def main(
    captioner: Annotated[Path, typer.Option(help="Folder of config and weights.")] = CAPTIONER,
    model: Annotated[Path, typer.Option(help="The CLIP that embeds texts.")] = MODEL,
    pictures: Annotated[Path, typer.Option(help="Folder with manifest.csv.")] = PICTURES,
    font: Annotated[Path, typer.Option(exists=True)] = NOTO_COLOR_EMOJI,
) -> None:
    """Print the figures; exit with 1 when one is below its floor."""
    rows = read_manifest(pictures)
    opened = [open_picture(pictures / row["path"]) for row in rows]
    captions = described(captioning.load(f"local-dir:{captioner}", "", "cpu"), opened)
    measured = named_shares(captions, rows, load_concepts(open_font(font)))
    for name, value in measured.items():
        typer.echo(f"{name:<28} {value:.3f}")
    encode_texts, encode_images = encoders_of(openclip.load(f"local-dir:{model}", "", "cpu"))
    gallery, said = encode_images(opened), encode_texts(captions)
    wanted = truths(pictures)
    for language, names in _by_language(wanted).items():
        queries, relevant = encode_texts(names), [wanted[name] for name in names]
        for weight in (0.0, *WEIGHTS):
            value = mean_ndcg(queries, relevant, gallery, said, weight)
            typer.echo(
                f"nDCG@{K}, {len(names)} {language} names, captions {weight:<5g} {value:.3f}"
            )
    failures = [name for name, floor in FLOORS.items() if measured[name] < floor]
    for name in failures:
        typer.echo(f"{name} is {measured[name]:.3f}, under its floor {FLOORS[name]}", err=True)
    raise typer.Exit(bool(failures))


def _by_language(names: Mapping[str, object]) -> dict[str, list[str]]:
    english = [name for name in names if name.isascii()]
    return {"English": english, "Chinese": [name for name in names if not name.isascii()]}


if __name__ == "__main__":
    typer.run(main)
