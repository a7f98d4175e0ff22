"""Indexing in int8: ours, the bare model in int8 and in floating point, and Chroma."""

from typing import Any

import numpy as np

from benchmarks.figures.indexing import BATCHES, UNIT, indexed_by, ours, overall, rates, versions
from benchmarks.processes import MeasurementFailed, bare, named
from benchmarks.results import Figure, Line, at_least
from benchmarks.server import FLOAT
from benchmarks.workshop import Workshop

PRECISION = "int8"
TIMES_CHROMA = 9.0
SHARE_OF_BARE = 0.85


def measure(shop: Workshop) -> Figure:
    """The first start calibrates, which is no part of the rates."""
    jobs = ours(shop, PRECISION)
    searchable = [job.pictures / job.searchable for job in jobs]
    quantised = bare(shop, batches=BATCHES, precision=PRECISION)
    if quantised["precision"] != PRECISION:
        raise MeasurementFailed("here int8 changes the vectors too much, so it is not used")
    plain = bare(shop, batches=BATCHES, precision=FLOAT)
    chroma = indexed_by(shop, "chroma")
    rate, forward = float(np.median(searchable)), _forward(quantised)
    return Figure(
        [
            at_least("our rate in int8 to Chroma's", "×", rate / overall(chroma), TIMES_CHROMA),
            at_least(
                "to the bare model's in int8", "×", rate / float(np.median(forward)), SHARE_OF_BARE
            ),
        ],
        [
            Line.of("ours in int8, to the last searchable row", UNIT, searchable),
            Line.of(
                "ours in int8, to the end of the job",
                UNIT,
                [job.pictures / job.ended for job in jobs],
            ),
            Line.of(f"the bare model in int8, batches of {quantised['batch']}", UNIT, forward),
            Line.of(f"the bare model in {plain['precision']}", UNIT, _forward(plain)),
            Line.of("Chroma, OpenCLIP function", UNIT, rates(chroma)),
        ],
        [
            f"{jobs[0].pictures:,} photographs; ours and the bare model run on {named(quantised)}, "
            "calibrated on some of them.",
            f"Chroma indexes the first {sum(chroma['pictures']):,}. {versions(chroma)}. The ratio "
            "is to its whole run, its spread is of its batches.",
        ],
    )


def _forward(told: dict[str, Any]) -> list[float]:
    """Pictures per second of each forward pass."""
    return [told["batch"] / seconds for seconds in told["forward"]]
