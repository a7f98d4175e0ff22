"""The figures by name; each is measured with a workshop."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import (
    beside,
    codes,
    easier,
    image,
    indexing,
    int8,
    memory,
    nearest,
    profile,
    text,
)
from benchmarks.results import Figure
from benchmarks.workshop import Workshop


@dataclass(frozen=True)
class Kind:
    """A figure of the page; `minutes` is roughly its duration with default sizes on two cores."""

    title: str
    minutes: float
    measure: Callable[[Workshop], Figure]


FIGURES = {
    "indexing": Kind("Indexing photographs from disk", 12, indexing.measure),
    "int8": Kind("Indexing photographs in 8-bit integers", 10, int8.measure),
    "text": Kind("Searching by text over HTTP", 6, text.measure),
    "image": Kind("Searching by picture over HTTP", 3, image.measure),
    "beside": Kind("While pictures are indexed", 4, beside.measure),
    "nearest": Kind("Nearest neighbours alone", 15, nearest.measure),
    "easier": Kind("Nearest neighbours of an easier spectrum", 4, easier.measure),
    "codes": Kind("Codes in memory alone", 3, codes.measure),
    "memory": Kind("Memory and start", 3, memory.measure),
    "profile": Kind("Where the time goes", 5, profile.measure),
}
"""In the order of the page; the minutes of the mixed load come on top of those of `memory`."""
