"""What HNSW graphs lose on bursts and near-duplicates: `python -m scripts.evaluate_graph`.

Puts generated vectors into a temporary database and searches them by their graph, however few
they are, then as searches do once the graph was measured, and by codes. Prints a Markdown table.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

import numpy as np
import typer
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.database.connections import Sessions
from app.database.tables import Storage, VectorIndex
from app.index import generations, graph_rebuild, vector_indexes
from app.index.exact_search import exact_neighbours
from app.index.graph_health import (
    TIE,
    choose_novel,
    count_unreachable,
    find_lost,
    graph_recalls,
)
from app.index.hnsw_search import Neighbour, find_nearest
from app.index.recall_queries import worst_decile
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.resident.resident_search import find_nearest_resident
from app.index.search_method import is_searched_exactly
from app.vectors import Vectors, VectorSpace
from scripts.benchmark_search import database, print_table
from scripts.generated_vectors import copy_vectors, insert_images, scene, unlike

STORAGES: tuple[Storage, ...] = ("halfvec", "vector", "bit")
K = 10
UNBOUNDED = 10**12  # bytes of codes
PART = 0.3  # of the vectors: deleted, or inserted into a graph that is there
HEAD = [
    "library", "storage", "graph over",
    "self-recall", "recall@10", "worst decile", "unreachable",
    "without codes", "self-recall", "worst decile", "codes: self-recall", "worst decile",
]  # fmt: skip


def burst(count: int, dimensions: int, rng: np.random.Generator) -> Vectors:
    """A sixteenth of the pictures unlike each other, then one scene."""
    few = count // 16
    return np.vstack([unlike(few, dimensions, rng), scene(count - few, 0.9, dimensions, rng)])


def near_duplicates(count: int, dimensions: int, rng: np.random.Generator) -> Vectors:
    """Half of the pictures unlike each other, then ten series of near-duplicates."""
    each = count // 20
    series = [scene(each, 0.99995, dimensions, rng) for _ in range(10)]
    return np.vstack([unlike(count - 10 * each, dimensions, rng), *series])


def clusters(count: int, dimensions: int, rng: np.random.Generator) -> Vectors:
    """Scenes of 1, 2, 4, … pictures, starting again at 1 once past 5,000, until full."""
    scenes, size, total = [], 1, 0
    while total < count:
        size = min(size, count - total)
        scenes.append(scene(size, 0.9, dimensions, rng))
        total += size
        size = 1 if size >= min(5_000, count // 2) else 2 * size
    return np.vstack(scenes)


LIBRARIES: dict[str, Callable[[int, int, np.random.Generator], Vectors]] = {
    "burst": burst,
    "near-duplicates": near_duplicates,
    "clusters": clusters,
}


def main(
    count: Annotated[int, typer.Option(help="vectors of a library")] = 6_000,
    dimensions: Annotated[int, typer.Option(help="of each")] = 512,
    queries: Annotated[int, typer.Option(help="vectors that are asked for")] = 100,
) -> None:
    """Print the table."""
    vector_indexes.EXACT_ROWS = -1  # so that small libraries are judged as large ones are
    with database() as sessions:
        with sessions.begin() as session:
            collection_id = collections.default(session).id
            insert_images(session, collection_id, ["{}"] * count)
        rows = evaluate(sessions, collection_id, count, dimensions, queries)
        print_table(f"Graphs, {count:,} vectors of {dimensions} dimensions", HEAD, rows)


def evaluate(
    sessions: Sessions, collection_id: int, count: int, dimensions: int, queries: int
) -> Iterator[list[str]]:
    """Each library in each storage."""
    for name, make in LIBRARIES.items():
        vectors = make(count, dimensions, np.random.default_rng(1))
        sample = choose_novel(dict(enumerate(vectors, 1)), queries)
        for storage in STORAGES:
            index = _new_index(sessions, collection_id, storage, vectors)
            for order, asked in _states(sessions, index, vectors, sample):
                graph = _by_graph(sessions, index, asked)
                without_codes = _without_codes(sessions, index, asked)
                codes = _by_codes(sessions, index, asked)
                yield [name, storage, order, *graph, *without_codes, *codes]


def _states(
    sessions: Sessions, index: VectorIndex, vectors: Vectors, sample: Mapping[int, Vectors]
) -> Iterator[tuple[str, Mapping[int, Vectors]]]:
    """Puts the index into one state after another; with each, what is there of the sample."""
    count = len(vectors)
    _insert(sessions, index, vectors, 1)
    with sessions.begin() as session:
        vector_indexes.build_hnsw(session, index)
    yield "rows as they came", sample
    graph_rebuild.rebuild(sessions, index)
    yield "shuffled rows", sample
    gone = np.random.default_rng(2).permutation(count)[: int(PART * count)] + 1
    _delete(sessions, index, "image_id = ANY(:ids)", gone.tolist())
    yield "… 30 % deleted", {one: row for one, row in sample.items() if one not in gone}
    _delete(sessions, index, "true", [])
    early = count - int(PART * count)
    _insert(sessions, index, vectors[:early], 1)
    graph_rebuild.rebuild(sessions, index)
    _insert(sessions, index, vectors[early:], early + 1)
    yield "70 % shuffled, 30 % live", sample


def _new_index(
    sessions: Sessions, collection_id: int, storage: Storage, vectors: Vectors
) -> VectorIndex:
    with sessions.begin() as session:
        generations.drop_all(session, collection_id)
        space = VectorSpace("generated", "", "0" * 64, vectors.shape[1])
        shape = vector_indexes.Shape(storage)
        return vector_indexes.create_index(session, collection_id, space, shape)


def _insert(sessions: Sessions, index: VectorIndex, vectors: Vectors, first: int) -> None:
    with sessions.begin() as session:
        copy_vectors(session, index, vectors, first)


def _delete(sessions: Sessions, index: VectorIndex, which: str, ids: list[int]) -> None:
    with sessions.begin() as session:
        session.execute(text(f"DELETE FROM {index.partition} WHERE {which}"), {"ids": ids})  # noqa: S608


def _by_graph(sessions: Sessions, index: VectorIndex, sample: Mapping[int, Vectors]) -> list[str]:
    """What the graph alone finds of the sample, and the rows that no walk comes to.

    The worst decile is stored, as it is after a job.
    """
    with sessions.begin() as session:
        vector_indexes.keep_graph_recall(session, index, None)  # so that searches use it
        lost = find_lost(session, index, sample)
        recalls = graph_recalls(session, index, sample)
        unreachable = count_unreachable(session, index)
        vector_indexes.keep_graph_recall(session, index, worst_decile(recalls))
    shares = (1 - len(lost) / len(sample), recalls.mean(), worst_decile(recalls))
    return [_shown(share) for share in shares] + [
        "?" if unreachable is None else f"{unreachable:,}"
    ]


def _without_codes(
    sessions: Sessions, index: VectorIndex, sample: Mapping[int, Vectors]
) -> list[str]:
    """How searches without codes go once the graph was measured, and what they find."""
    with sessions.begin() as session:
        by = "exactly" if is_searched_exactly(session, index) else "by the graph"
        return [by, *_found(session, index, sample, partial(find_nearest, session, index))]


def _by_codes(sessions: Sessions, index: VectorIndex, sample: Mapping[int, Vectors]) -> list[str]:
    """What searches by codes find."""
    with ThreadPoolExecutor(1) as threads:
        indexes = ResidentIndexes(sessions, UNBOUNDED, threads, threading.Event(), min_vectors=1)
        indexes.of(index)
    resident = indexes.of(index)
    if resident is None:
        raise RuntimeError("the codes were not loaded")

    def find(vector: Vectors, limit: int) -> Sequence[Neighbour] | None:
        found = find_nearest_resident(sessions, resident, vector, limit)
        return found.answer if found else None

    with sessions.begin() as session:
        return _found(session, index, sample, find)


def _found(
    session: Session,
    index: VectorIndex,
    sample: Mapping[int, Vectors],
    find: Callable[[Vectors, int], Sequence[Neighbour] | None],
) -> list[str]:
    """Self-recall, and the worst decile of recall@10; a hit as near as the last one counts."""
    queries = np.stack(list(sample.values()))
    exact = exact_neighbours(session, index, queries, np.zeros(len(queries), np.int64), K)
    own, recalls = [], []
    for image_id, query, farthest in zip(sample, queries, exact.farthest, strict=True):
        hits = find(query, K) or ()
        near = [hit for hit in hits if hit.distance <= farthest + TIE]
        own.append(any(hit.image.id == image_id or hit.distance <= TIE for hit in near))
        recalls.append(len(near) / K)
    return [_shown(float(np.mean(own))), _shown(worst_decile(np.array(recalls)))]


def _shown(share: float) -> str:
    return f"{share:.3f}"


if __name__ == "__main__":
    typer.run(main)
