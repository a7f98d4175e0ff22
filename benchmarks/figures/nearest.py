"""Nearest-neighbour search alone: ours in Postgres against Chroma's, at equal recall."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.database.tables import Storage
from app.vectors import Vectors
from benchmarks.own_search import (
    CANDIDATES,
    HITS,
    RECALL,
    Answers,
    Built,
    asked,
    built_index,
    by_codes,
    fewest,
    loaded_codes,
)
from benchmarks.processes import peer
from benchmarks.results import Figure, Goal, Line, at_least, at_most, p50
from benchmarks.server import MODEL
from benchmarks.workshop import DIMENSIONS, QUERY_SEED, VECTOR_SEED, Workshop
from scripts import generated_vectors
from scripts.benchmark_search import database, load_pictures
from scripts.generated_vectors import NOISE, Gallery

CODES_RECALL = 0.99  # at least, of the searches by codes
CODES_SHARE = 0.6  # of Chroma's time
CHROMA_DEFAULT = 100
DEFAULT: Storage = "halfvec"
STORAGES: Sequence[Storage] = ("vector", "bit", DEFAULT)  # the last one is kept
TITLES = {"vector": "vector", "bit": "bit + re-rank", "halfvec": "halfvec"}
MILLION = 1_000_000
GROWTH_TO_MILLION = 3.0
NO_SLOWER = 1.0


@dataclass(frozen=True)
class Size:
    """One number of vectors: our storages, then ours and Chroma's at equal recall (`fewest`).

    `codes` are our searches by codes in memory, `load` the seconds to load these.
    """

    count: int
    built: Sequence[Built]
    codes: Answers
    load: float
    ours: Answers
    chroma: Answers
    chroma_default: Answers
    chroma_build: float

    def lines(self) -> list[Line]:
        """Ours by codes and by the graph, Chroma's, and what each storage takes."""
        many = f"{self.count:,}"
        lines = [
            Line.milliseconds(f"{many}, codes at recall {self.codes.recall:.3f}", self.codes.times),
            Line.one(f"{many}, codes, load", "vectors/s", self.count / self.load),
            Line.milliseconds(f"{many}, halfvec at recall {self.ours.recall:.3f}", self.ours.times),
            Line.milliseconds(
                f"{many}, Chroma at recall {self.chroma.recall:.3f}", self.chroma.times
            ),
            Line.milliseconds(
                f"{many}, Chroma's default, recall {self.chroma_default.recall:.3f}",
                self.chroma_default.times,
            ),
            Line.one(f"{many}, Chroma added", "s", self.chroma_build),
        ]
        for built in self.built:
            title, default = f"{many}, {TITLES[built.storage]}", built.default
            lines += [
                Line.milliseconds(f"{title}, default, recall {default.recall:.3f}", default.times),
                Line.one(f"{title}, build", "s", built.seconds),
                Line.one(f"{title}, graph", "bytes a picture", built.graph),
                Line.one(f"{title}, table", "bytes a picture", built.table),
            ]
        return lines

    def note(self) -> str:
        """What was searched, and how many candidates that took."""
        return (
            f"{self.count:,} generated vectors of {DIMENSIONS} dimensions; at equal recall ours "
            f"keeps {self.ours.kept} candidates (ef_search), Chroma {self.chroma.kept}."
        )


def measure(shop: Workshop) -> Figure:
    """Each number of vectors in turn: the smallest in all storages, the rest in the default one."""
    sizes: list[Size] = []
    for count in sorted(shop.sizes.nearest):
        storages = [DEFAULT] if sizes else STORAGES
        sizes.append(measured(shop, count, storages))
    goals = [goal for size in sizes for goal in _goals(size)]
    lines = [line for size in sizes for line in size.lines()]
    small, large = sizes[0], sizes[-1]
    growth = p50(large.ours.times) / p50(small.ours.times)
    if large.count == MILLION:
        goals.append(at_most(_growth(small, large), "×", growth, GROWTH_TO_MILLION))
    elif large is not small:
        lines.append(Line.one(_growth(small, large), "×", growth))
    return Figure(goals, lines, [size.note() for size in sizes])


def _growth(small: Size, large: Size) -> str:
    return f"growth of p50, {small.count:,} to {large.count:,}"


def _goals(size: Size) -> list[Goal]:
    many, chroma = f"{size.count:,}", p50(size.chroma.times)
    by_codes, by_graph = p50(size.codes.times) / chroma, p50(size.ours.times) / chroma
    return [
        at_least(f"{many}: recall@10 by codes", "", size.codes.recall, CODES_RECALL),
        at_most(f"{many}: p50 by codes to Chroma's", "×", by_codes, CODES_SHARE),
        at_least(f"{many}: recall@10 by the graph", "", size.ours.recall, RECALL),
        at_most(f"{many}: p50 by the graph to Chroma's", "×", by_graph, NO_SLOWER),
    ]


def measured(shop: Workshop, count: int, storages: Sequence[Storage], noise: float = NOISE) -> Size:
    """Search `count` vectors generated with that noise, in each of the storages."""
    queries = generated_vectors.clip_like(shop.sizes.queries, DIMENSIONS, QUERY_SEED, noise)
    gallery = generated_vectors.generate(count, DIMENSIONS, VECTOR_SEED, queries[0], noise)
    expected = gallery.best(queries, gallery.present, HITS)
    with database() as sessions:
        index = load_pictures(sessions, gallery)
        built = []
        for storage in storages:
            index, one = built_index(sessions, index, gallery, storage, queries, expected)
            built.append(one)
        load, resident = loaded_codes(sessions, index)
        codes = by_codes(sessions, resident, queries, expected)
        ours = fewest(
            asked(sessions, index, gallery, queries, expected, kept) for kept in CANDIDATES
        )
    seconds, default, theirs = _chroma(shop, f"{count}-{noise:g}", gallery, queries, expected)
    return Size(count, built, codes, load, ours, fewest(theirs), default, seconds)


def _chroma(
    shop: Workshop, name: str, gallery: Gallery, queries: Vectors, expected: list[list[int]]
) -> tuple[float, Answers, list[Answers]]:
    """Chroma's seconds to add all vectors, its answers by default, and those of every run."""
    told = peer(
        "chroma",
        {
            "task": "nearest",
            "model": MODEL,
            "store": str(shop.folder / f"chroma-{name}"),
            "vectors": str(shop.saved(f"vectors-{name}", gallery.vectors)),
            "queries": str(shop.saved(f"queries-{name}", queries)),
            "expected": str(shop.saved(f"expected-{name}", np.array(expected))),
            "ef": CANDIDATES,
        },
    )
    runs = [Answers(run["ef"], run["recall"], run["seconds"]) for run in told["runs"]]
    default = next(run for run in runs if run.kept == CHROMA_DEFAULT)
    return float(told["build"]), default, runs
