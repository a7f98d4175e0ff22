"""What HNSW graphs lose on bursts and near-duplicates: `python -m scripts.evaluate_graph`.

Puts generated vectors into a temporary database and searches them by their graph, however few
they are. Prints a Markdown table.
"""

from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import typer
from sqlalchemy import text

from app.catalog import collections
from app.database.connections import Sessions
from app.database.tables import Storage, VectorIndex
from app.index import graph_rebuild, vector_indexes
from app.index.exact_search import exact_neighbours
from app.index.graph_health import choose_novel, count_unreachable, find_lost
from app.index.hnsw_search import find_nearest
from app.vectors import Vectors, VectorSpace
from scripts.benchmark_search import database, print_table
from scripts.generated_vectors import copy_vectors, insert_images, scene, unlike

STORAGES: tuple[Storage, ...] = ("halfvec", "vector", "bit")
K = 10
TIE = 1e-5  # between distances that differ only by rounding
DELETED = 0.3
HEAD = ["library", "storage", "order", "self-recall", "recall@10", "worst decile", "unreachable"]


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
    count: Annotated[int, typer.Option(help="vectors of a library")] = 12_000,
    dimensions: Annotated[int, typer.Option(help="of each")] = 512,
    queries: Annotated[int, typer.Option(help="vectors that are asked for")] = 300,
) -> None:
    """Print the table."""
    vector_indexes.EXACT_ROWS = -1  # makes this process search small libraries by graph too
    with database() as sessions:
        with sessions.begin() as session:
            collection_id = collections.default(session).id
            insert_images(session, collection_id, ["{}"] * count)
        rows = evaluate(sessions, collection_id, count, dimensions, queries)
        print_table(f"Graphs, {count:,} vectors of {dimensions} dimensions", HEAD, rows)


def evaluate(
    sessions: Sessions, collection_id: int, count: int, dimensions: int, queries: int
) -> Iterator[list[str]]:
    """Each library in each storage: in the order it came, then shuffled, then after deletions."""
    for name, make in LIBRARIES.items():
        vectors = make(count, dimensions, np.random.default_rng(1))
        pool = dict(enumerate(vectors, 1))
        for storage in STORAGES:
            sample = choose_novel(pool, queries)
            index = _new_index(sessions, collection_id, storage, vectors)
            with sessions.begin() as session:
                vector_indexes.build_hnsw(session, index)
            yield [name, storage, "as they came", *_measured(sessions, index, sample)]
            graph_rebuild.rebuild(sessions, index)
            yield [name, storage, "shuffled", *_measured(sessions, index, sample)]
            sample = _delete(sessions, index, sample, count)
            yield [name, storage, "30 % deleted", *_measured(sessions, index, sample)]


def _new_index(
    sessions: Sessions, collection_id: int, storage: Storage, vectors: Vectors
) -> VectorIndex:
    with sessions.begin() as session:
        vector_indexes.drop_all(session, collection_id)
        space = VectorSpace("generated", "", "0" * 64, vectors.shape[1])
        shape = vector_indexes.Shape(storage)
        index = vector_indexes.create_index(session, collection_id, space, shape)
        copy_vectors(session, index, vectors)
    return index


def _measured(sessions: Sessions, index: VectorIndex, sample: dict[int, Vectors]) -> list[str]:
    """For the sample: self-recall, recall@10 and its worst decile; then unreachable rows."""
    queries = np.stack(list(sample.values()))
    with sessions.begin() as session:
        lost = find_lost(session, index, sample)
        none = np.zeros(len(queries), np.int64)
        exact = exact_neighbours(session, index, queries, none, K)
        recalls = []
        for query, farthest in zip(queries, exact.farthest, strict=True):
            hits = find_nearest(session, index, query, K)
            recalls.append(sum(hit.distance <= farthest + TIE for hit in hits) / K)
        unreachable = count_unreachable(session, index)
    decile = np.sort(recalls)[: max(1, len(recalls) // 10)]
    shares = (1 - len(lost) / len(sample), np.mean(recalls), decile.mean())
    return [
        *(f"{share:.3f}" for share in shares),
        "?" if unreachable is None else f"{unreachable:,}",
    ]


def _delete(
    sessions: Sessions, index: VectorIndex, sample: dict[int, Vectors], count: int
) -> dict[int, Vectors]:
    """Delete vectors at random; returns what is left of the sample."""
    gone = set((np.random.default_rng(2).permutation(count)[: int(DELETED * count)] + 1).tolist())
    with sessions.begin() as session:
        query = text(f"DELETE FROM {index.partition} WHERE image_id = ANY(:ids)")  # noqa: S608
        session.execute(query, {"ids": list(gone)})
    return {image_id: vector for image_id, vector in sample.items() if image_id not in gone}


if __name__ == "__main__":
    typer.run(main)
