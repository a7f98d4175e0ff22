"""Finds a good batch size for a GPU by doubling.

Half precision and compiled towers are tried by `runtime_choice`; pinned memory and the pixel
layout are set in `towers` and `loaded_model`.
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
LARGEST_BATCH = 1_024  # pictures: the upper limit of BATCH_SIZE
WORTH = 0.95  # keep a doubling if the time per picture falls to this share or less


def tuned(encoder: "OpenClipEncoder") -> "OpenClipEncoder":
    """The encoder with its batch size limited to what doubling finds worthwhile."""
    one = encoder.prepare(fidelity.golden_images()[0])

    def run(count: int) -> None:
        encoder.towers.images(np.stack([one] * count))

    return encoder.on(encoder.towers, max_batch=find_batch_size(run))


def find_batch_size(run: Callable[[int], object], max_batch: int = LARGEST_BATCH) -> int:
    """The batch size beyond which `run`, called with a count, gains nothing or runs out of memory.

    At least FIRST_BATCH, unless even that does not fit in memory: then 1.
    """
    best, seconds = 1, float("inf")
    count = FIRST_BATCH
    while count <= max_batch:
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
    run(count)  # the first run of a shape allocates
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began
