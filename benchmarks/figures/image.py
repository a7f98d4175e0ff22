"""Searches by photograph over HTTP, against decoding and encoding one without a server."""

from itertools import cycle, islice

from benchmarks.load import by_image, drive
from benchmarks.processes import bare, named
from benchmarks.results import Figure, Line, at_most, p50
from benchmarks.workshop import Workshop

WARM_UP = 10  # searches not counted
ROUNDS = 4  # both take turns, as a machine's speed drifts within minutes
TO_BARE = 1.5


def measure(shop: Workshop) -> Figure:
    """One client searching by one photograph after another; then the same without a server."""
    each = shop.sizes.by_image // ROUNDS
    asked = (by_image(path.read_bytes()) for path in cycle(shop.photographs))
    times: list[float] = []
    alone: list[float] = []
    with shop.searching() as server:
        for _ in range(ROUNDS):
            drive(server.port, islice(asked, WARM_UP))
            times += drive(server.port, islice(asked, each)).times
            told = bare(shop, ones=each)
            alone += told["one"]
    ratio = p50(times) / p50(alone)
    return Figure(
        [at_most("p50 to decoding and encoding one", "×", ratio, TO_BARE)],
        [
            Line.milliseconds("search by picture, one client", times),
            Line.milliseconds("decoding and encoding one, no server", alone),
        ],
        [f"{shop.sizes.gallery:,} pictures; ours runs on {named(told)}."],
    )
