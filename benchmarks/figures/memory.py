"""Memory at rest and under mixed load, and the time from start to ready."""

import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from subprocess import run

import numpy as np
import psutil

from benchmarks.load import by_image, drive, request
from benchmarks.processes import runtime
from benchmarks.results import Figure, Line, at_most
from benchmarks.server import Server
from benchmarks.workshop import Workshop

GB = 1e9  # bytes
REST_SECONDS = 10.0  # without requests, after which the server counts as at rest
CLIENTS = 4  # clients of the mixed load
WARM_UP_SHARE = 0.2  # of the minutes of mixed load
EDGE = 0.1  # the first and the last tenth of the samples after warm-up are compared
SAMPLE_SECONDS = 5.0
BOUNDARY = "part"
LISTING = "/api/v1/collections/default/images?limit=50"
MIX = (*("new",) * 11, *("same",) * 4, *("image",) * 3, "upload", "list")  # twenty requests

AT_REST_GB = 0.8
GROWTH_PERCENT = 2.0
START_SECONDS = 5.0
OVER_TORCH_SECONDS = 3.0


def measure(shop: Workshop) -> Figure:
    """Several starts, then the last server at rest, then under mixed load."""
    imports = [_import_torch() for _ in range(shop.sizes.repeats)]
    starts = []
    for _ in range(shop.sizes.repeats - 1):
        with shop.searching() as server:
            starts.append(server.started)
    with shop.searching() as server:
        starts.append(server.started)
        time.sleep(REST_SECONDS)
        at_rest = server.memory() / GB
        around = _postgres(shop) / GB
        samples, answers = _mixed(shop, server)
    start, torch = float(np.median(starts)), float(np.median(imports))
    first, last = _edges(samples)
    return Figure(
        [
            at_most("API at rest", "GB", at_rest, AT_REST_GB),
            at_most("growth under mixed load", "%", 100 * (last / first - 1), GROWTH_PERCENT),
            at_most("start to ready", "s", start, START_SECONDS),
            at_most("start to ready, over torch's import", "s", start - torch, OVER_TORCH_SECONDS),
        ],
        [
            Line.one("API at rest (RSS)", "GB", at_rest),
            Line.of("API under mixed load (RSS)", "GB", [each / GB for each in samples]),
            Line.one("API, most under mixed load", "GB", max(samples) / GB),
            Line.one("its Postgres at rest", "GB", around),
            Line.of("start to ready", "s", starts),
            Line.of("torch's import", "s", imports),
        ],
        [
            f"{shop.sizes.minutes:g} minutes of mixed load by {CLIENTS} clients, the first "
            f"{WARM_UP_SHARE:.0%} as warm-up, {answers:,} answers. Of twenty requests, 11 "
            "search for a new text, 4 for the same text, 3 by picture, and one each is an upload "
            f"and a listing. {shop.sizes.gallery:,} pictures; {runtime(shop)}. Growth: medians of "
            f"the last and the first {EDGE:.0%} after warm-up."
        ],
    )


def _import_torch() -> float:
    began = time.perf_counter()
    run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - began


def _postgres(shop: Workshop) -> int:
    """Bytes of the embedded Postgres; memory that its processes share counts once."""
    told = (shop.filled / "postgres" / "postmaster.pid").read_text()
    postmaster = psutil.Process(int(told.splitlines()[0]))
    found = 0
    for process in (postmaster, *postmaster.children(recursive=True)):
        try:
            memory = process.memory_full_info()
            found += getattr(memory, "pss", memory.rss)
        except psutil.NoSuchProcess:
            continue
    return found


def _mixed(shop: Workshop, server: Server) -> tuple[list[int], int]:
    """The API's bytes every SAMPLE_SECONDS after warm-up, and the number of its answers."""
    asked = _mix(shop.requests(), shop.photographs)
    seconds = 60 * shop.sizes.minutes
    answers = len(drive(server.port, asked, CLIENTS, WARM_UP_SHARE * seconds).times)
    samples = [server.memory()]
    until = time.perf_counter() + (1 - WARM_UP_SHARE) * seconds
    while time.perf_counter() < until:
        answers += len(drive(server.port, asked, CLIENTS, SAMPLE_SECONDS).times)
        samples.append(server.memory())
    return samples, answers


def _mix(new: Iterator[bytes], photographs: Sequence[Path]) -> Iterator[bytes]:
    """Endless requests in the proportions of MIX."""
    same, pictures = next(new), cycle(photographs)
    for kind in cycle(MIX):
        if kind == "new":
            yield next(new)
        elif kind == "same":
            yield same
        elif kind == "image":
            yield by_image(next(pictures).read_bytes())
        elif kind == "upload":
            yield _upload(next(pictures).read_bytes())
        else:
            yield request("GET", LISTING)


def _upload(data: bytes) -> bytes:
    head = (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
        'name="file"; filename="photograph.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    body = head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    return request("POST", "/upload", body, f"multipart/form-data; boundary={BOUNDARY}")


def _edges(samples: list[int]) -> tuple[float, float]:
    """The medians of the first and of the last samples, in bytes."""
    count = max(1, int(EDGE * len(samples)))
    return float(np.median(samples[:count])), float(np.median(samples[-count:]))
