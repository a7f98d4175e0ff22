"""From photographs on disk to searchable rows: ours, Chroma, LanceDB, and the bare model."""

import time
from tempfile import mkdtemp
from typing import Any

import numpy as np

from benchmarks.processes import MeasurementFailed, bare, named, peer
from benchmarks.results import Figure, Line, at_least
from benchmarks.server import MODEL, Ingested, Server, follow
from benchmarks.workshop import Workshop

BATCHES = 30  # forward passes of the bare model
TIMES_PEERS = 10.0  # our rate relative to theirs
SHARE_OF_BARE = 0.92
UNIT = "pictures/s"


def measure(shop: Workshop) -> Figure:
    """Ours several times, each time from an empty database; the others once, batch by batch."""
    jobs = ours(shop)
    searchable = [job.pictures / job.searchable for job in jobs]
    ended = [job.pictures / job.ended for job in jobs]
    alone = bare(shop, batches=BATCHES)
    forward = [alone["batch"] / seconds for seconds in alone["forward"]]
    chroma, lance = indexed_by(shop, "chroma"), indexed_by(shop, "lance")
    rate = float(np.median(searchable))
    return Figure(
        [
            at_least("our rate to Chroma's", "×", rate / overall(chroma), TIMES_PEERS),
            at_least("our rate to LanceDB's", "×", rate / overall(lance), TIMES_PEERS),
            at_least("to the bare model's", "×", rate / float(np.median(forward)), SHARE_OF_BARE),
        ],
        [
            Line.of("ours, to the last searchable row", UNIT, searchable),
            Line.of("ours, to the end of the job", UNIT, ended),
            Line.of(f"the bare model, batches of {alone['batch']}", UNIT, forward),
            Line.of("Chroma, OpenCLIP function", UNIT, rates(chroma)),
            Line.of("LanceDB, open-clip registry", UNIT, rates(lance)),
        ],
        [
            f"{jobs[0].pictures:,} photographs; ours and the bare model run on {named(alone)}.",
            f"The others index the first {sum(chroma['pictures']):,}. {versions(chroma)}; "
            f"{versions(lance)}. The ratios above use the rate over the whole run of Chroma or "
            "LanceDB; the quartiles are those of its batches.",
        ],
    )


def ours(shop: Workshop, precision: str | None = None) -> list[Ingested]:
    """Whole jobs, each into an empty database."""
    jobs = []
    for _ in range(shop.sizes.repeats):
        with shop.indexing(precision) as server:
            jobs.append(index(server, shop))
    return jobs


def index(server: Server, shop: Workshop) -> Ingested:
    """Submit all photographs and wait for the job to end."""
    began = time.perf_counter()
    return follow(server, server.hand_in(shop.pictures), began)


def indexed_by(shop: Workshop, name: str) -> dict[str, Any]:
    """What a peer tells of indexing the first photographs. Raises MeasurementFailed."""
    paths = shop.photographs[: shop.sizes.of_peers]
    task = {
        "task": "index",
        "model": MODEL,
        "checkpoint": str(shop.model.checkpoint),
        "store": mkdtemp(prefix=f"{name}-indexing-", dir=shop.folder),  # another figure has its own
        "photographs": [str(path) for path in paths],
    }
    told = peer(name, task)
    if told["rows"] != len(paths):
        raise MeasurementFailed(f"{name} has {told['rows']} rows of {len(paths)} pictures")
    return told


def overall(told: dict[str, Any]) -> float:
    """Pictures per second over a peer's whole run."""
    return float(sum(told["pictures"]) / sum(told["seconds"]))


def rates(told: dict[str, Any]) -> list[float]:
    """Pictures per second of each of a peer's batches."""
    pairs = zip(told["pictures"], told["seconds"], strict=True)
    return [pictures / seconds for pictures, seconds in pairs]


def versions(told: dict[str, Any]) -> str:
    """The versions of a peer and of the packages it runs on."""
    return ", ".join(f"{name} {version}" for name, version in told["versions"].items())
