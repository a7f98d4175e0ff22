"""Memory of the running server during searches with large pictures: `make benchmark-decoding`.

For each format: the peak above the memory at rest, and the memory 30 s after the last answer.
"""

import io
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import psutil
import typer
from PIL import Image

from app.settings import Settings

REQUESTS = 32  # at once
SIDES = (8_160, 6_120)  # pixels: 50 megapixels
WAIT_SECONDS = 30  # after the last answer, before memory is read again
SAMPLE_SECONDS = 0.02
ANSWER_SECONDS = 300
MB = 1_000_000  # bytes
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"progressive": True},
    "WEBP": {"method": 0},
    "PNG": {"compress_level": 1},
    "AVIF": {"speed": 10},
}


def main(requests: Annotated[int, typer.Option(help="searches at once")] = REQUESTS) -> None:
    """Print a line for each format."""
    settings = Settings.load()
    process = _listening(settings.api_port)
    for kind, options in FORMATS.items():
        data = _picture(kind, options)
        rest = process.memory_info().rss
        peak, statuses = _search(f"{settings.address}/search-by-image", data, process, requests)
        time.sleep(WAIT_SECONDS)
        left = process.memory_info().rss
        print(
            f"{kind}: {len(data) / MB:.1f} MB × {requests}: at rest {rest // MB} MB, peak "
            f"+{(peak - rest) // MB} MB, after {WAIT_SECONDS} s {left // MB} MB, {dict(statuses)}",
            flush=True,
        )


def _listening(port: int) -> psutil.Process:
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        if listens and connection.pid is not None:
            return psutil.Process(connection.pid)
    raise SystemExit(f"No server of yours listens on port {port}: `make start` first.")


def _picture(kind: str, options: dict[str, Any]) -> bytes:
    dots = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(dots).resize(SIDES, Image.Resampling.NEAREST).save(out, kind, **options)
    return out.getvalue()


def _search(
    url: str, data: bytes, process: psutil.Process, requests: int
) -> tuple[int, Counter[int]]:
    """The peak memory during the requests, in bytes, and the number of answers of each status."""

    def ask(_: int) -> int:
        request = Request(url, data, {"Content-Type": "application/octet-stream"})  # noqa: S310
        try:
            with urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                return int(answer.status)
        except HTTPError as error:
            return error.code

    peak, ended = process.memory_info().rss, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(SAMPLE_SECONDS):
            peak = max(peak, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(requests) as threads:
        statuses = Counter(threads.map(ask, range(requests)))
    ended.set()
    watching.join()
    return peak, statuses


if __name__ == "__main__":
    typer.run(main)
