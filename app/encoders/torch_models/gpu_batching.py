"""The batch size that suits a GPU, found by doubling.

Half precision and compiled towers are tried by `runtime_choice`; pinned memory and the layout of
pixels are set in `towers` and `loaded_model`.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch

from app.encoders import fidelity

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder

FIRST_BATCH = 8  # pictures
LARGEST_BATCH = 1_024  # pictures: BATCH_SIZE's own bound
WORTH = 0.95  # of the seconds a picture took: a doubling must save so much to be kept


def tuned(encoder: "OpenClipEncoder") -> "OpenClipEncoder":
    """The encoder with a bound of the pictures that go at a time, found by doubling."""
    one = encoder.prepare(fidelity.golden_images()[0])

    def run(count: int) -> None:
        encoder.towers.images(np.stack([one] * count))

    return encoder.on(encoder.towers, most=doubled(run))


def doubled(run: Callable[[int], object], most: int = LARGEST_BATCH) -> int:
    """The batch beyond which `run`, called with a count, gains nothing more or has no memory.

    FIRST_BATCH at least, unless that has no memory either: then 1.
    """
    best, seconds = 1, float("inf")
    count = FIRST_BATCH
    while count <= most:
        try:
            taken = _seconds(run, count) / count
        except torch.OutOfMemoryError:
            break
        if taken > WORTH * seconds:
            break
        best, seconds = count, taken
        count *= 2
    return best


def _seconds(run: Callable[[int], object], count: int) -> float:
    run(count)  # the first of a shape allocates
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began
