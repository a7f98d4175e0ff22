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
)
from benchmarks.processes import peer
from benchmarks.results import Figure, Goal, Line, at_least, at_most, p50
from benchmarks.server import MODEL
from benchmarks.workshop import DIMENSIONS, QUERY_SEED, VECTOR_SEED, Workshop
from scripts import generated_vectors
from scripts.benchmark_search import database, load_pictures
from scripts.generated_vectors import Gallery

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


def measure(shop: Workshop) -> Figure:
    """Each number of vectors in turn: the smallest in all storages, the rest in the default one."""
    sizes: list[Size] = []
    for count in sorted(shop.sizes.nearest):
        storages = [DEFAULT] if sizes else STORAGES
        sizes.append(_measured(shop, count, storages))
    goals = [goal for size in sizes for goal in _goals(size)]
    lines = [line for size in sizes for line in _lines(size)]
    small, large = sizes[0], sizes[-1]
    growth = p50(large.ours.times) / p50(small.ours.times)
    if large.count == MILLION:
        goals.append(at_most(_growth(small, large), "×", growth, GROWTH_TO_MILLION))
    elif large is not small:
        lines.append(Line.one(_growth(small, large), "×", growth))
    return Figure(goals, lines, [_note(size) for size in sizes])


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


def _lines(size: Size) -> list[Line]:
    many = f"{size.count:,}"
    lines = [
        Line.milliseconds(f"{many}, codes at recall {size.codes.recall:.3f}", size.codes.times),
        Line.one(f"{many}, codes, load", "vectors/s", size.count / size.load),
        Line.milliseconds(f"{many}, halfvec at recall {size.ours.recall:.3f}", size.ours.times),
        Line.milliseconds(f"{many}, Chroma at recall {size.chroma.recall:.3f}", size.chroma.times),
        Line.milliseconds(
            f"{many}, Chroma's default, recall {size.chroma_default.recall:.3f}",
            size.chroma_default.times,
        ),
        Line.one(f"{many}, Chroma added", "s", size.chroma_build),
    ]
    for built in size.built:
        title, default = f"{many}, {TITLES[built.storage]}", built.default
        lines += [
            Line.milliseconds(f"{title}, default, recall {default.recall:.3f}", default.times),
            Line.one(f"{title}, build", "s", built.seconds),
            Line.one(f"{title}, graph", "bytes a picture", built.graph),
            Line.one(f"{title}, table", "bytes a picture", built.table),
        ]
    return lines


def _note(size: Size) -> str:
    return (
        f"{size.count:,} generated vectors of {DIMENSIONS} dimensions; at equal recall ours keeps "
        f"{size.ours.kept} candidates (ef_search), Chroma {size.chroma.kept}."
    )


def _measured(shop: Workshop, count: int, storages: Sequence[Storage]) -> Size:
    queries = generated_vectors.clip_like(shop.sizes.queries, DIMENSIONS, QUERY_SEED)
    gallery = generated_vectors.generate(count, DIMENSIONS, VECTOR_SEED, queries[0])
    expected = gallery.best(queries, gallery.present, HITS)
    with database() as sessions:
        index = load_pictures(sessions, gallery)
        built = []
        for storage in storages:
            index, one = built_index(sessions, index, gallery, storage, queries, expected)
            built.append(one)
        load, codes = by_codes(sessions, index, queries, expected)
        ours = fewest(
            asked(sessions, index, gallery, queries, expected, kept) for kept in CANDIDATES
        )
    seconds, default, theirs = _chroma(shop, gallery, queries, expected)
    return Size(count, built, codes, load, ours, fewest(theirs), default, seconds)


def _chroma(
    shop: Workshop, gallery: Gallery, queries: Vectors, expected: list[list[int]]
) -> tuple[float, Answers, list[Answers]]:
    """Chroma's seconds to add all vectors, its answers by default, and those of every run."""
    count = len(gallery.vectors)
    told = peer(
        "chroma",
        {
            "task": "nearest",
            "model": MODEL,
            "store": str(shop.folder / f"chroma-{count}"),
            "vectors": str(shop.saved(f"vectors-{count}", gallery.vectors)),
            "queries": str(shop.saved("queries", queries)),
            "expected": str(shop.saved(f"expected-{count}", np.array(expected))),
            "ef": CANDIDATES,
        },
    )
    runs = [Answers(run["ef"], run["recall"], run["seconds"]) for run in told["runs"]]
    default = next(run for run in runs if run.kept == CHROMA_DEFAULT)
    return float(told["build"]), default, runs
