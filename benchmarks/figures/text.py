"""Searches by text over HTTP, against Chroma's queries in its own process."""

from benchmarks.load import Load, by_text, drive
from benchmarks.processes import bare, named, peer
from benchmarks.results import Figure, Line, at_least, at_most, p50
from benchmarks.server import MODEL, Server
from benchmarks.workshop import Workshop

WARM_UP = 30  # searches not counted
REPEATING, BATCHING = 16, 32  # clients repeating one text, and clients sending new texts
REPEATED = 500  # searches by one client that repeats a text
OTHERS = 10  # extra queries for Chroma's warm-up
FOREVER = 1_000_000  # more requests than any load gets through

ROUNDS = 4  # of both in turn where little lies between them, as a machine's speed drifts
SHARE_OF_CHROMA = 0.2
AROUND_MODEL_MS = 3.0
REPEATED_MS = 4.0
REPEATED_RATE = 900.0  # answers/s
BATCHING_GAIN = 3.0


def measure(shop: Workshop) -> Figure:
    """Our searches and Chroma's, on the same gallery and with captions of the same kind."""
    with shop.searching() as server:
        drive(server.port, map(by_text, shop.texts(WARM_UP)))
        new = drive(server.port, map(by_text, shop.texts(shop.sizes.texts)))
        repeated, crowd = _repeated(shop, server)
        many = _many_new(shop, server)
    alone = bare(shop, texts=shop.texts(shop.sizes.texts // 2 + WARM_UP))
    theirs = chroma_texts(shop)
    few, encoding = _around_model(shop)
    around = 1e3 * (p50(few) - p50(encoding))
    return Figure(
        [
            at_most(
                "new text, p50 to Chroma's", "×", p50(new.times) / p50(theirs), SHARE_OF_CHROMA
            ),
            at_most(
                f"{shop.sizes.few:,} pictures: p50 less encoding", "ms", around, AROUND_MODEL_MS
            ),
            at_most("repeated text, p50", "ms", 1e3 * p50(repeated.times), REPEATED_MS),
            at_least(f"repeated text, {REPEATING} clients", "/s", crowd.rate, REPEATED_RATE),
            at_least(
                f"new texts, {BATCHING} clients to one", "×", many.rate / new.rate, BATCHING_GAIN
            ),
        ],
        [
            Line.milliseconds("new text, one client", new.times),
            Line.milliseconds(f"{shop.sizes.few:,} pictures, new text, one client", few),
            Line.milliseconds("encoding, in turn with these", encoding),
            Line.milliseconds("repeated text, one client", repeated.times),
            Line.milliseconds(f"repeated text, {REPEATING} clients", crowd.times),
            Line.milliseconds(f"new texts, {BATCHING} clients", many.times),
            Line.milliseconds("encoding one new text, no server", alone["text"][WARM_UP:]),
            Line.milliseconds("Chroma, new text in its own process", theirs),
            Line.one("new text, one client", "answers/s", new.rate),
            Line.one(f"new texts, {BATCHING} clients", "answers/s", many.rate),
            Line.one("repeated text, one client", "answers/s", repeated.rate),
            Line.one(f"repeated text, {REPEATING} clients", "answers/s", crowd.rate),
        ],
        [
            f"{shop.sizes.gallery:,} pictures; ours runs on {named(alone)}. Clients and "
            "server share the cores."
        ],
    )


def _around_model(shop: Workshop) -> tuple[list[float], list[float]]:
    """Seconds of each search among few pictures, and of encoding each text without a server."""
    each = shop.sizes.texts // ROUNDS
    times: list[float] = []
    alone: list[float] = []
    with shop.searching_few() as server:
        for _ in range(ROUNDS):
            drive(server.port, map(by_text, shop.texts(WARM_UP)))
            times += drive(server.port, map(by_text, shop.texts(each))).times
            alone += bare(shop, texts=shop.texts(WARM_UP + each))["text"][WARM_UP:]
    return times, alone


def _repeated(shop: Workshop, server: Server) -> tuple[Load, Load]:
    """One text again and again, from one client and then from many."""
    (text,) = shop.texts(1)
    asked = by_text(text)
    drive(server.port, [asked] * WARM_UP)
    alone = drive(server.port, [asked] * REPEATED)
    seconds = shop.sizes.rate_seconds
    drive(server.port, [asked] * FOREVER, REPEATING, seconds / 5)
    return alone, drive(server.port, [asked] * FOREVER, REPEATING, seconds)


def _many_new(shop: Workshop, server: Server) -> Load:
    """New texts from many clients at once."""
    drive(server.port, shop.requests(), BATCHING, shop.sizes.rate_seconds / 5)
    return drive(server.port, shop.requests(), BATCHING, shop.sizes.rate_seconds)


def chroma_texts(shop: Workshop) -> list[float]:
    """The seconds of each of Chroma's queries."""
    told = peer(
        "chroma",
        {
            "task": "texts",
            "model": MODEL,
            "checkpoint": str(shop.model.checkpoint),
            "store": str(shop.folder / f"chroma-{shop.sizes.gallery}"),
            "vectors": str(shop.saved(f"vectors-{shop.sizes.gallery}", shop.vectors)),
            "texts": shop.texts(shop.sizes.texts // 2 + OTHERS),
        },
    )
    return [float(each) for each in told["seconds"]]
