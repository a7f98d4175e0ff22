"""Comparing codes in memory: 8 bits by one and two threads, and the signs' bits before them.

Nothing but the choice of candidates: no Postgres, no ranking. The ways take turns in one run.
"""

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.index.resident.codes import Codes, Ids, code_bytes
from app.vectors import Vectors
from benchmarks.results import Figure, Goal, Line, at_least, at_most, p50
from benchmarks.workshop import DIMENSIONS, VECTOR_SEED, Workshop
from scripts.generated_vectors import clip_like, scene, texts_like, unlike

HITS, CANDIDATES = 10, 50
QUERIES = 20  # pictures, and as many texts
PIECE = 50_000  # vectors generated at once
UNLIKE = 200  # pictures before the first burst
BURST_COSINE = 0.9
SIGNS_SHARE = 0.1  # of the codes, which the signs choose; the 8 bits choose among these
SIGNS_AT_ONCE = 65_536  # compared in one call
RECALL = 0.99
MILLION, MILLION_MS = 1_000_000, 12.0


def _bursts(piece: int) -> Vectors:
    """Each piece is a scene; before the first one there are pictures like no other."""
    rng = np.random.default_rng(VECTOR_SEED + piece)
    vectors = scene(PIECE, BURST_COSINE, DIMENSIONS, rng)
    if piece == 0:
        vectors[:UNLIKE] = unlike(UNLIKE, DIMENSIONS, rng)
    return vectors


SPECTRA: dict[str, Callable[[int], Vectors]] = {
    "as CLIP": lambda piece: clip_like(PIECE, DIMENSIONS, VECTOR_SEED + piece),
    "rank 64": lambda piece: clip_like(PIECE, DIMENSIONS, VECTOR_SEED + piece, noise=0),
    "bursts": _bursts,
}
"""By piece, from 0."""


@dataclass
class Signs:
    """The signs of vectors less their mean, a bit each, compared by Hamming distance."""

    center: Vectors
    pieces: list[NDArray[np.uint64]] = field(default_factory=list)

    def add(self, vectors: Vectors) -> None:
        """Add vectors, shape (n, DIMENSIONS)."""
        self.pieces.append(np.packbits(vectors > self.center, axis=1).view(np.uint64))

    def nearest(self, vector: Vectors, count: int) -> Ids:
        """The places of the `count` nearest, ascending."""
        asked = np.packbits(vector > 0).view(np.uint64)
        far = []
        for piece in self.pieces:
            for start in range(0, len(piece), SIGNS_AT_ONCE):
                differ = np.bitwise_count(piece[start : start + SIGNS_AT_ONCE] ^ asked)
                far.append(differ.sum(axis=1, dtype=np.uint16))
        return np.sort(np.argpartition(np.concatenate(far), count)[:count])


@dataclass(frozen=True)
class Library:
    """The codes of one spectrum, queries, and the ids of each one's true neighbours."""

    codes: Codes
    halves: tuple[Codes, Codes]
    signs: Signs
    queries: Vectors
    best: list[set[int]]

    def in_two_stages(self, query: Vectors) -> Ids:
        """The candidates among what the signs choose."""
        kept = self.signs.nearest(query, int(SIGNS_SHARE * len(self.codes)))
        return self.codes.nearest(query, CANDIDATES, kept)

    def by_two_threads(self, query: Vectors, helper: Executor) -> Ids:
        """The candidates of each half."""
        one, other = self.halves
        helping = helper.submit(one.nearest, query, CANDIDATES)
        return np.concatenate([other.nearest(query, CANDIDATES), helping.result()])


def measure(shop: Workshop) -> Figure:
    """Each number of vectors, each spectrum."""
    goals: list[Goal] = []
    lines: list[Line] = []
    with ThreadPoolExecutor(1) as helper:
        for count in sorted(shop.sizes.nearest):
            for name, spectrum in SPECTRA.items():
                library = _library(count, spectrum)
                _measure(f"{count:,} {name}", library, helper, goals, lines)
    beside = code_bytes(DIMENSIONS, 1) - DIMENSIONS
    note = (
        f"Recall is that of the {CANDIDATES} best candidates. A code has {DIMENSIONS} bytes, and "
        f"its scale and the picture's id take {beside} more."
    )
    return Figure(goals, lines, [note])


def _measure(
    title: str, library: Library, helper: Executor, goals: list[Goal], lines: list[Line]
) -> None:
    ways: dict[str, Callable[[Vectors], Ids]] = {
        "8 bits": lambda query: library.codes.nearest(query, CANDIDATES),
        "8 bits, two threads": lambda query: library.by_two_threads(query, helper),
        f"signs keep {SIGNS_SHARE:.0%}": library.in_two_stages,
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    found: dict[str, list[float]] = {way: [] for way in ways}
    for query, best in zip(library.queries, library.best, strict=True):
        for way, ask in ways.items():
            began = time.perf_counter()
            ids = ask(query)
            times[way].append(time.perf_counter() - began)
            found[way].append(len(best & set(ids.tolist())) / HITS)
    for way in ways:
        pictures, texts = np.mean(found[way][:QUERIES]), np.mean(found[way][QUERIES:])
        told = f"{title}, {way}, recall of pictures {pictures:.3f}, of texts {texts:.3f}"
        lines.append(Line.milliseconds(told, times[way]))
    goals.append(
        at_least(f"{title}: recall by 8 bits", "", float(np.mean(found["8 bits"])), RECALL)
    )
    if len(library.codes) >= MILLION:
        ms = 1e3 * p50(times["8 bits, two threads"])
        goals.append(at_most(f"{title}: two threads, p50", "ms", ms, MILLION_MS))


def _library(count: int, spectrum: Callable[[int], Vectors]) -> Library:
    """The first queries are near the first pictures, the others about those after them."""
    first = spectrum(0)
    center = first.mean(axis=0)
    pictures, about = first[:QUERIES], first[QUERIES : 2 * QUERIES]
    queries = np.vstack([pictures, texts_like(about)])
    codes, signs, halves = Codes(center), Signs(center), (Codes(center), Codes(center))
    scores = np.empty((len(queries), count), np.float32)
    for start in range(0, count, PIECE):
        vectors = spectrum(start // PIECE)[: count - start]
        ids = np.arange(start, start + len(vectors))
        codes.add(ids, vectors)
        for half, some in enumerate(np.array_split(np.arange(len(ids)), len(halves))):
            halves[half].add(ids[some], vectors[some])
        signs.add(vectors)
        scores[:, ids] = queries @ vectors.T
    best = np.argpartition(-scores, HITS, axis=1)[:, :HITS]
    return Library(codes, halves, signs, queries, [set(row) for row in best.tolist()])
