"""Nearest-neighbour search alone: ours in Postgres against Chroma's, at equal recall."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import typer

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
class Chroma:
    """Chroma's seconds to add all vectors, its answers by default, and at equal recall."""

    build: float
    default: Answers
    best: Answers


@dataclass(frozen=True)
class Size:
    """One number of vectors: our storages, then ours and Chroma's at equal recall (`fewest`).

    `codes` are our searches by codes in memory, `load` the seconds to load these. Of a million
    there is no Chroma: adding them takes it half an hour.
    """

    count: int
    built: Sequence[Built]
    codes: Answers
    load: float
    ours: Answers
    chroma: Chroma | None

    def goals(self) -> list[Goal]:
        """By the codes and by the graph, beside Chroma where that was measured."""
        many = f"{self.count:,}"
        goals = [
            at_least(f"{many}: recall@10 by codes", "", self.codes.recall, CODES_RECALL),
            at_least(f"{many}: recall@10 by the graph", "", self.ours.recall, RECALL),
        ]
        if self.chroma is None:
            return goals
        chroma = p50(self.chroma.best.times)
        by_codes, by_graph = p50(self.codes.times) / chroma, p50(self.ours.times) / chroma
        return [
            *goals,
            at_most(f"{many}: p50 by codes to Chroma's", "×", by_codes, CODES_SHARE),
            at_most(f"{many}: p50 by the graph to Chroma's", "×", by_graph, NO_SLOWER),
        ]

    def lines(self) -> list[Line]:
        """Ours by codes and by the graph, Chroma's, and what each storage takes."""
        many = f"{self.count:,}"
        lines = [
            Line.milliseconds(f"{many}, codes at recall {self.codes.recall:.3f}", self.codes.times),
            Line.one(f"{many}, codes, load", "vectors/s", self.count / self.load),
            Line.milliseconds(f"{many}, halfvec at recall {self.ours.recall:.3f}", self.ours.times),
        ]
        if self.chroma is not None:
            best, default = self.chroma.best, self.chroma.default
            lines += [
                Line.milliseconds(f"{many}, Chroma at recall {best.recall:.3f}", best.times),
                Line.milliseconds(
                    f"{many}, Chroma's default, recall {default.recall:.3f}", default.times
                ),
                Line.one(f"{many}, Chroma added", "s", self.chroma.build),
            ]
        for built in self.built:
            title, default = f"{many}, {TITLES[built.storage]}", built.default
            lines += [
                Line.milliseconds(f"{title}, default, recall {default.recall:.3f}", default.times),
                Line.one(f"{title}, load", "vectors/s", self.count / built.load),
                Line.one(f"{title}, build", "s", built.seconds),
                Line.one(f"{title}, graph", "bytes a picture", built.graph),
                Line.one(f"{title}, table", "bytes a picture", built.table),
            ]
        return lines

    def note(self) -> str:
        """What was searched, and how many candidates that took."""
        chroma = f", Chroma {self.chroma.best.kept}" if self.chroma else ""
        return (
            f"{self.count:,} generated vectors of {DIMENSIONS} dimensions; at equal recall ours "
            f"keeps {self.ours.kept} candidates (ef_search){chroma}."
        )


def measure(shop: Workshop) -> Figure:
    """Each number of vectors in turn, see `_storages`."""
    sizes: list[Size] = []
    for count in sorted(shop.sizes.nearest):
        sizes.append(measured(shop, count, _storages(count, is_first=not sizes)))
        typer.echo(f"{count:,} vectors are measured.", err=True)
    goals = [goal for size in sizes for goal in size.goals()]
    lines = [line for size in sizes for line in size.lines()]
    small, large = sizes[0], sizes[-1]
    growth = p50(large.ours.times) / p50(small.ours.times)
    if large.count == MILLION:
        goals.append(at_most(_growth(small, large), "×", growth, GROWTH_TO_MILLION))
    elif large is not small:
        lines.append(Line.one(_growth(small, large), "×", growth))
    return Figure(goals, lines, [size.note() for size in sizes])


def _storages(count: int, *, is_first: bool) -> Sequence[Storage]:
    """All of the smallest number, bits beside the default of a million, else the default alone."""
    if is_first:
        return STORAGES
    return ("bit", DEFAULT) if count == MILLION else (DEFAULT,)


def _growth(small: Size, large: Size) -> str:
    return f"growth of p50, {small.count:,} to {large.count:,}"


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
    chroma = None
    if count < MILLION:
        name = f"{count}" if noise == NOISE else f"{count}-{noise:g}"
        chroma = _chroma(shop, name, gallery, queries, expected)
    return Size(count, built, codes, load, ours, chroma)


def _chroma(
    shop: Workshop, name: str, gallery: Gallery, queries: Vectors, expected: list[list[int]]
) -> Chroma:
    task = {
        "task": "nearest",
        "model": MODEL,
        "store": str(shop.folder / f"chroma-{name}"),
        "vectors": str(shop.saved(f"vectors-{name}", gallery.vectors)),
        "queries": str(shop.saved(f"queries-{name}", queries)),
        "expected": str(shop.saved(f"expected-{name}", np.array(expected))),
    }
    told = peer("chroma", {**task, "ef": CHROMA_DEFAULT})
    default = Answers(CHROMA_DEFAULT, told["recall"], told["seconds"])

    def ask(kept: int) -> Answers:
        if kept == CHROMA_DEFAULT:
            return default
        told = peer("chroma", {**task, "ef": kept})
        return Answers(kept, told["recall"], told["seconds"])

    return Chroma(float(told["build"]), default, fewest(map(ask, CANDIDATES)))
