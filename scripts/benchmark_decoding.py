"""Memory of the running server during searches with large pictures: `make benchmark-decoding`.

For each format: the peak above the memory at rest, and the memory 30 s after the last answer.
"""

import io
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import psutil
import typer
from PIL import Image
from pillow_heif import register_heif_opener

from app.settings import Settings
from benchmarks.machine import described

REQUESTS = 32  # at once
SIDES = (8_160, 6_120)  # pixels: 50 megapixels
SMALL_SIDES = (816, 612)  # pixels
CELLS = (60, 80)  # rows and columns of one random color each: many pixels in a small file
NOISY_ROWS = 480  # of random bytes, which make the 16-bit PNG nearly as large as may be sent
WAIT_SECONDS = 30  # after the last answer, before memory is read again
SAMPLE_SECONDS = 0.02
ANSWER_SECONDS = 300
MB = 1_000_000  # bytes


def saved(kind: str, *, sides: tuple[int, int] = SIDES, **options: Any) -> Callable[[], bytes]:
    """What makes a picture of 8-bit colors, in a format of Pillow's."""

    def save() -> bytes:
        out = io.BytesIO()
        dots = np.random.default_rng(1).integers(0, 255, (*CELLS, 3), np.uint8)
        picture = Image.fromarray(dots).resize(sides, Image.Resampling.NEAREST)
        picture.save(out, kind, **options)
        return out.getvalue()

    return save


def deep_png() -> bytes:
    """A PNG of 16-bit colors, which Pillow cannot write."""
    width, height = SIDES
    rows = np.zeros((height, 1 + width * 6), np.uint8)  # each begins with its filter, 0
    rows[:NOISY_ROWS, 1:] = np.random.default_rng(1).integers(
        0, 256, (NOISY_ROWS, width * 6), np.uint8
    )
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(rows.tobytes(), 1), b"IEND": b""}
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


FORMATS: dict[str, Callable[[], bytes]] = {
    "JPEG": saved("JPEG"),
    "JPEG, progressive": saved("JPEG", progressive=True),
    "WebP": saved("WEBP", method=0),
    "PNG": saved("PNG", compress_level=1),
    "PNG, 16 bits, large": deep_png,
    "AVIF": saved("AVIF", speed=10),
    "HEIC": saved("HEIF", quality=50, enc_params={"preset": "ultrafast"}),
    "TIFF": saved("TIFF", compression="tiff_adobe_deflate"),
    "GIF": saved("GIF"),
}


@dataclass(frozen=True)
class Load:
    """`peak` bytes of memory during the requests, and how many were answered with each status."""

    peak: int
    statuses: Counter[int]
    seconds: float


def main(requests: Annotated[int, typer.Option(help="searches at once")] = REQUESTS) -> None:
    """Print a table with a row for each format."""
    settings = Settings.load()
    process = _listening(settings.api_port)
    register_heif_opener()
    url = f"{settings.address}/search-by-image"
    # What stays anyway: libraries, and the model's buffers for a batch of so many pictures.
    _search(url, saved("PNG")(), process, 1)
    _search(url, saved("PNG", sides=SMALL_SIDES)(), process, requests)
    time.sleep(WAIT_SECONDS)
    machine = described()
    print(f"{requests} searches at once, {machine['CPU']}, {machine['cores']} cores, in MB:\n")
    print(
        f"| picture | file | at rest | peak | after {WAIT_SECONDS} s | seconds | answers |\n"
        "|---|---|---|---|---|---|---|"
    )
    for kind, picture in FORMATS.items():
        data = picture()
        rest = process.memory_info().rss
        load = _search(url, data, process, requests)
        time.sleep(WAIT_SECONDS)
        left = process.memory_info().rss
        answers = ", ".join(f"{count} × {status}" for status, count in load.statuses.items())
        print(
            f"| {kind} | {len(data) / MB:.1f} | {rest // MB} | +{(load.peak - rest) // MB} "
            f"| {(left - rest) / rest:+.0%} | {load.seconds:.0f} | {answers} |",
            flush=True,
        )


def _listening(port: int) -> psutil.Process:
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        if listens and connection.pid is not None:
            return psutil.Process(connection.pid)
    raise SystemExit(f"No server of yours listens on port {port}: `make start` first.")


def _search(url: str, data: bytes, process: psutil.Process, requests: int) -> Load:
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
    started = time.monotonic()
    with ThreadPoolExecutor(requests) as threads:
        statuses = Counter(threads.map(ask, range(requests)))
    seconds = time.monotonic() - started
    ended.set()
    watching.join()
    return Load(peak, statuses, seconds)


if __name__ == "__main__":
    typer.run(main)
