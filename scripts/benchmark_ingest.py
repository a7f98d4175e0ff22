"""How long a search takes alone and while pictures are taken in: `make benchmark-ingest`.

A server with the demo model and a database of its own answers one client, first with nothing else
to do, then while a job works on a folder of drawn pictures.
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from app.settings import ROOT

PORT = 8765
PICTURES = 3_000
SIDE = 512  # pixels
SEARCHES = 400  # of each kind
PAUSE_SECONDS = 0.02  # between two searches, as of people and not of a load test
WARM_UP = 30  # searches that are not counted
WORDS = ("red", "green", "blue", "old", "small"), ("tree", "car", "cat", "house", "fish", "cup")


def main() -> None:
    """Print p50 and p95 of both, and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "more")
        with server(folder):
            search(WARM_UP)
            idle = search(SEARCHES)
            job = submit(folder / "more")
            busy, rate = search_during(job)
    print(f"{'':24}{'p50':>9}{'p95':>9}   searches")
    for title, times in (("idle", idle), ("while a job runs", busy)):
        p50, p95 = statistics.median(times), np.percentile(times, 95)
        print(f"{title:24}{p50 * 1e3:6.1f} ms{p95 * 1e3:6.1f} ms   {len(times)}")
    ratio = np.percentile(busy, 95) / np.percentile(idle, 95)
    print(f"p95 while a job runs / idle: {ratio:.2f}; the job took in {rate:.0f} pictures/s")


def draw(folder: Path) -> None:
    """Pictures of the size that cameras' previews have, all different."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for n in range(PICTURES):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(folder / f"{n:05}.jpg", quality=85)


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """`make start` on folders of its own, until it is ready."""
    own = {
        "TESTING": "1",
        "ENV_FILE": os.devnull,
        "API_PORT": str(PORT),
        "POSTGRES_DIR": str(folder / "postgres"),
        "TEST_UPLOAD_DIR": str(folder / "uploads"),
        "THUMBNAIL_DIR": str(folder / "thumbnails"),
        "SOURCE_DIRS": str(folder / "more"),
    }
    environment = {"PATH": os.environ["PATH"], **own}
    command = [sys.executable, "-m", "app.main"]
    with subprocess.Popen(  # noqa: S603  # our own command
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101
        try:
            for line in process.stdout:
                if line.startswith("Ready:"):
                    break
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield
        finally:
            process.terminate()


def search(number: int) -> list[float]:
    """So many searches, one after the other: seconds of each."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    times = []
    for n in range(number):
        query = f"a {WORDS[0][n % 5]} {WORDS[1][n % 6]} {n}"
        began = time.perf_counter()
        connection.request("GET", f"/search-by-text?query={quote(query)}&limit=10")
        answer = connection.getresponse()
        body = answer.read()
        times.append(time.perf_counter() - began)
        if answer.status != 200:
            sys.exit(f"A search failed: {answer.status} {body!r}")
        time.sleep(PAUSE_SECONDS)
    connection.close()
    return times


def submit(folder: Path) -> str:
    """Hand in the folder; the URL of the job."""
    body = json.dumps({"source": {"folder": str(folder)}})
    answer = ask("POST", "/api/v1/images", body)
    return str(answer["url"])


def search_during(job: str) -> tuple[list[float], float]:
    """Search as long as the job runs, and how many pictures a second it took in."""
    times: list[float] = []
    while True:
        times += search(10)
        state = ask("GET", job)
        if state["finished_at"] or len(times) >= SEARCHES:
            return times, float(str(state["pictures_per_second"] or 0))


def ask(method: str, path: str, body: str | None = None) -> dict[str, object]:
    """One request of the API."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer: dict[str, object] = json.loads(connection.getresponse().read())
    connection.close()
    return answer


if __name__ == "__main__":
    main()
