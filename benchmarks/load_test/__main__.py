"""More and more clients on a server, and what it could take: `make load-test`."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# locust patches sockets, so it comes before all that uses them.
from locust.env import Environment

import gevent  # isort: skip

from benchmarks.load_test.traffic import COLLECTION, Person, Refused, delete_scratch, make_scratch

WARM_UP_SECONDS = 5.0  # of each number of clients, not counted
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Step:
    """What so many clients saw: requests a second, milliseconds by quantile, refusals, faults."""

    clients: int
    rate: float
    quantiles: tuple[float, ...]
    refused: int
    failed: int
    kinds: tuple[tuple[str, float, tuple[float, ...]], ...]
    reasons: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table by number of clients, and one by kind of request for the largest number."""
    parser = argparse.ArgumentParser(prog="make load-test", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--clients", type=positive, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--seconds", type=positive, default=30, help="counted, of each number")
    asked = parser.parse_args(arguments)
    environment = Environment(host=asked.url)
    try:
        make_scratch(environment)
    except RuntimeError as error:
        sys.exit(
            f"{error}\nWhere keys are needed, pass an administrator's: KEY=isk_… make load-test"
        )
    print(f"{asked.url}, collection {COLLECTION}, {asked.seconds} s each", flush=True)
    print("\n| clients | requests/s | p50 ms | p95 ms | p99 ms | refused | failed |")
    print("|---|---|---|---|---|---|---|", flush=True)
    try:
        steps = [shown(run(asked.url, clients, asked.seconds)) for clients in asked.clients]
    finally:
        delete_scratch(environment)
    print("\n".join(("", *by_kind(steps[-1]))))
    for line in advice(steps):
        print(f"\n{line}")
    sys.exit(any(step.failed for step in steps))


def positive(text: str) -> int:
    """Raises ArgumentTypeError with a sentence."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def run(url: str, clients: int, seconds: float) -> Step:
    """The figures of so many clients after they have warmed up."""
    environment = Environment(user_classes=[Person], host=url)
    runner = environment.create_local_runner()
    runner.start(clients, spawn_rate=clients)
    gevent.sleep(WARM_UP_SECONDS)
    environment.stats.reset_all()
    gevent.sleep(seconds)
    step = figures(environment.stats, clients, seconds)
    runner.quit()
    return step


def figures(stats: Any, clients: int, seconds: float) -> Step:
    """Read locust's statistics."""
    refused = sum(error.occurrences for error in stats.errors.values() if is_refusal(error))
    others = [error for error in stats.errors.values() if not is_refusal(error)]
    kinds = sorted(stats.entries.values(), key=lambda entry: -entry.num_requests)
    return Step(
        clients,
        stats.total.num_requests / seconds,
        quantiles(stats.total),
        refused,
        sum(error.occurrences for error in others),
        tuple(
            (entry.name, entry.num_requests / seconds, quantiles(entry))
            for entry in kinds
            if entry.num_requests
        ),
        tuple(f"{error.occurrences} × {error.name}: {error.error}" for error in others),
    )


def is_refusal(error: Any) -> bool:
    """Whether the server said that it is at a bound, which is no fault."""
    return Refused.__name__ in str(error.error)


def quantiles(entry: Any) -> tuple[float, ...]:
    """Milliseconds; locust rounds them to two digits."""
    return tuple(entry.get_response_time_percentile(each) for each in QUANTILES)


def shown(step: Step) -> Step:
    """Print its line of the table."""
    times = " | ".join(f"{each:,.0f}" for each in step.quantiles)
    print(
        f"| {step.clients} | {step.rate:,.1f} | {times} | {step.refused} | {step.failed} |",
        flush=True,
    )
    return step


def by_kind(step: Step) -> Iterator[str]:
    """A table of the kinds of request."""
    yield f"| {step.clients} clients | requests/s | p50 ms | p95 ms | p99 ms |"
    yield "|---|---|---|---|---|"
    for name, rate, times in step.kinds:
        yield f"| {name} | {rate:,.1f} | {' | '.join(f'{each:,.0f}' for each in times)} |"


def advice(steps: Sequence[Step]) -> Iterator[str]:
    """Where the most was reached, and what refusals and faults mean."""
    best = max(steps, key=lambda step: step.rate)
    yield f"The most was {best.rate:,.1f} requests/s, with {best.clients} clients."
    if any(step.refused for step in steps):
        yield (
            "Refused are answers 429 and 503: the bounds are IMAGE_SEARCH_SEARCH_RATE, "
            "IMAGE_SEARCH_UPLOAD_RATE, IMAGE_SEARCH_MAX_SEARCHES and IMAGE_SEARCH_MAX_UPLOADS, for "
            "each key or address."
        )
    for step in steps:
        yield from (f"{step.clients} clients: {reason}" for reason in step.reasons)


if __name__ == "__main__":
    main()
