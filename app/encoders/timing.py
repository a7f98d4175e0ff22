"""How long encoders take on this machine."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from app.encoders import fidelity

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder

ROUNDS = 3  # all encoders are timed in turn; the best of each counts, as other load disturbs
ROUND_SECONDS = 0.1  # minimum per encoder and round
PICTURES = 8  # in a timed batch: larger ones gain a processor little
QUERY = "a small boat on a lake at dawn"


def best_seconds(encoders: "Sequence[OpenClipEncoder]") -> list[tuple[float, float]]:
    """The best seconds per picture, in a batch, and per text, of each."""
    return list(zip(picture_seconds(encoders), text_seconds(encoders), strict=True))


def picture_seconds(encoders: "Sequence[OpenClipEncoder]") -> list[float]:
    """The best seconds per picture, in a batch, of each."""
    some = (fidelity.golden_images() * PICTURES)[:PICTURES]
    batches = [[encoder.prepare(image) for image in some] for encoder in encoders]
    runs = [
        partial(encoder.encode_pixels, batch)
        for encoder, batch in zip(encoders, batches, strict=True)
    ]
    return [seconds / PICTURES for seconds in _in_turn(runs)]


def text_seconds(encoders: "Sequence[OpenClipEncoder]") -> list[float]:
    """The best seconds per text of each."""
    return _in_turn([partial(encoder.encode_texts, [QUERY]) for encoder in encoders])


def _in_turn(runs: Sequence[Callable[[], object]]) -> list[float]:
    """The least seconds of each; a single one, which nothing is compared with, has one round."""
    rounds = [[_least(run) for run in runs] for _ in range(ROUNDS if len(runs) > 1 else 1)]
    return [min(each) for each in zip(*rounds, strict=True)]


def _least(run: Callable[[], object]) -> float:
    run()  # the first run of a shape allocates
    least, ends = float("inf"), time.perf_counter() + ROUND_SECONDS
    while least == float("inf") or time.perf_counter() < ends:
        began = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - began)
    return least
