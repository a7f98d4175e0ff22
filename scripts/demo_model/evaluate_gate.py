"""How gates do on the bundled pictures: what they stop, and what they stop by mistake.

The bundled pictures show no weapons, and the demo model has never seen one. So each of the groups
of `groups.csv` (reptiles, drinks, aircraft) stands in for weapons in turn: a gate for its things is
asked about every picture. Exits with 1 if a figure is beyond its bound.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.encoders.torch_models import openclip
from app.understanding.labels.gates import verdicts_of
from app.understanding.labels.labels import Label, LabelSet
from app.understanding.labels.prompts import encode_set
from app.understanding.labels.scoring import Scorer
from scripts.demo_model.evaluate import (
    MODEL,
    PICTURES,
    SEVERAL,
    EncodeTexts,
    Rows,
    encoders_of,
    open_picture,
    read_manifest,
)

GROUPS = Path(__file__).with_name("groups.csv")
THRESHOLD = 0.2  # one for all gates: lower than the default, since to miss is worse here
ALONE, BESIDE, MISTAKEN = "gate: thing alone", "gate: beside another thing", "gate: other pictures"
LEAST_STOPPED = {ALONE: 0.9}
MOST_STOPPED = {MISTAKEN: 0.05}


def gates() -> Iterator[LabelSet]:
    """One for each group, as a person would write it."""
    with GROUPS.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            label = Label(row["group"], tuple(row["concepts"].split(";")))
            yield LabelSet(row["group"], (label,), threshold=THRESHOLD, gate="flag")


def figures(
    encode_texts: EncodeTexts,
    logit_scale: float,
    gallery: Rows,
    rows: Sequence[Mapping[str, str]],
) -> dict[str, tuple[int, int]]:
    """How many pictures the gates stopped, of how many, by kind; all gates together.

    `gallery` are the embeddings of the manifest's `rows`, float32 (n, dimensions).
    """
    encode = cache(
        lambda texts: encode_texts(list(texts))
    )  # all gates share what is none of theirs
    shown = [set(row["concepts"].split(SEVERAL)) for row in rows]
    counts = {kind: [0, 0] for kind in (ALONE, BESIDE, MISTAKEN)}
    for gate in gates():
        vectors = encode_set(lambda texts: encode(tuple(texts)), gate)
        stopped = verdicts_of(gate, Scorer(gate, vectors, logit_scale).held(gallery))
        for n, things in enumerate(shown):
            is_wanted = bool(things & {*gate.labels[0].phrases})
            kind = MISTAKEN if not is_wanted else ALONE if len(things) == 1 else BESIDE
            counts[kind][0] += n in stopped
            counts[kind][1] += 1
    return {kind: (stopped, number) for kind, (stopped, number) in counts.items()}


def beyond_bounds(shares: Mapping[str, float]) -> list[str]:
    """A sentence for each share that is beyond its bound."""
    low = [
        f"{kind}: under {least}" for kind, least in LEAST_STOPPED.items() if shares[kind] < least
    ]
    high = [f"{kind}: over {most}" for kind, most in MOST_STOPPED.items() if shares[kind] > most]
    return [*low, *high]


def main(
    model: Annotated[Path, typer.Option(help="Folder of config and weights.")] = MODEL,
    pictures: Annotated[Path, typer.Option(help="Folder with manifest.csv.")] = PICTURES,
) -> None:
    """Print the figures; exit with 1 when one is beyond its bound."""
    encoder = openclip.load(f"local-dir:{model}", "", "cpu")
    encode_texts, encode_images = encoders_of(encoder)
    rows = read_manifest(pictures)
    gallery = np.asarray(encode_images([open_picture(pictures / row["path"]) for row in rows]))
    found = figures(encode_texts, encoder.logit_scale, gallery, rows)
    typer.echo(f"\nShare of pictures that gates stop, threshold {THRESHOLD}")
    for kind, (stopped, number) in found.items():
        typer.echo(f"{kind:<28} {stopped / number:.3f}  ({stopped:,} of {number:,})")
    failures = beyond_bounds({kind: stopped / number for kind, (stopped, number) in found.items()})
    for sentence in failures:
        typer.echo(sentence, err=True)
    raise typer.Exit(bool(failures))


if __name__ == "__main__":
    typer.run(main)
