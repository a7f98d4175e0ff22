"""How much an ingest and searches slow each other down."""

import time

from benchmarks.figures.indexing import index
from benchmarks.load import by_text, drive
from benchmarks.processes import runtime
from benchmarks.results import Figure, Line, at_least, at_most, p95
from benchmarks.server import Server, is_searchable
from benchmarks.workshop import Workshop

WARM_UP = 30  # searches not counted
PAUSE_SECONDS = 0.02  # between two searches, as a person would, unlike a load test
REST_SECONDS = 5.0  # after the job, before searches are timed
AT_ONCE = 5  # searches between two checks of the job
P95_TO_IDLE = 2.0
RATE_TO_IDLE = 0.75


def measure(shop: Workshop) -> Figure:
    """Each alone, then both at once on a database emptied again; one client does the searching."""
    with shop.indexing() as server:
        alone = index(server, shop)
        time.sleep(REST_SECONDS)
        drive(server.port, map(by_text, shop.texts(WARM_UP)))
        idle = drive(server.port, map(by_text, shop.texts(shop.sizes.beside)), pause=PAUSE_SECONDS)
    with shop.indexing() as server:
        drive(server.port, map(by_text, shop.texts(WARM_UP)))
        busy, rate = _both(shop, server)
    idle_rate = alone.pictures / alone.searchable
    return Figure(
        [
            at_most("text p95 to idle", "×", p95(busy) / p95(idle.times), P95_TO_IDLE),
            at_least("ingest to its idle rate", "×", rate / idle_rate, RATE_TO_IDLE),
        ],
        [
            Line.milliseconds("new text, nothing else", idle.times),
            Line.milliseconds("new text, while pictures are indexed", busy),
            Line.one("p95, nothing else", "ms", 1e3 * p95(idle.times)),
            Line.one("p95, while pictures are indexed", "ms", 1e3 * p95(busy)),
            Line.one("ingest, nothing else", "pictures/s", idle_rate),
            Line.one("ingest, while one client searches", "pictures/s", rate),
        ],
        [
            f"{alone.pictures:,} photographs into an empty database; one client with a pause of "
            f"{1e3 * PAUSE_SECONDS:.0f} ms between two searches; {runtime(shop)}."
        ],
    )


def _both(shop: Workshop, server: Server) -> tuple[list[float], float]:
    """Seconds of each search until the last picture is searchable, and pictures per second."""
    times: list[float] = []
    began = time.perf_counter()
    job = server.hand_in(shop.pictures)
    while True:
        times += drive(server.port, map(by_text, shop.texts(AT_ONCE)), pause=PAUSE_SECONDS).times
        state = server.ask("GET", job)
        if state["finished_at"] or is_searchable(state):
            return times, float(state["added"]) / (time.perf_counter() - began)
