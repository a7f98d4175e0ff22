"""Searches by photograph over HTTP, beside decoding and encoding one without a server."""

from itertools import cycle, islice

from benchmarks.load import by_image, drive
from benchmarks.processes import bare, named
from benchmarks.results import Figure, Line, at_most, p50
from benchmarks.workshop import Workshop

WARM_UP = 10  # searches that are not counted
TO_BARE = 1.5


def measure(shop: Workshop) -> Figure:
    """One client, with the photographs one after the other."""
    paths = list(islice(cycle(shop.photographs), shop.sizes.by_image + WARM_UP))
    asked = [by_image(path.read_bytes()) for path in paths]
    with shop.searching() as server:
        drive(server.port, asked[:WARM_UP])
        found = drive(server.port, asked[WARM_UP:])
    alone = bare(shop, ones=min(shop.sizes.by_image, len(shop.photographs)))
    ratio = p50(found.times) / p50(alone["one"])
    return Figure(
        [at_most("p50 to decoding and encoding one", "×", ratio, TO_BARE)],
        [
            Line.milliseconds("search by picture, one client", found.times),
            Line.milliseconds("decoding and encoding one, no server", alone["one"]),
        ],
        [f"{shop.sizes.gallery:,} pictures; ours runs on {named(alone)}."],
    )
