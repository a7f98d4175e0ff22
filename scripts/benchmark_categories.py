"""Searches within the labels of a set beside searches of all: `make benchmark-categories`.

Puts generated vectors with labels into a temporary database, and searches by the codes in memory,
in turn without a filter and within labels of several sizes. Prints Markdown.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import numpy as np
import typer
from sqlalchemy import text

from app.catalog import collections
from app.catalog.filters.filters import parse
from app.database.connections import Sessions
from app.database.tables import LabelNames, VectorIndex
from app.index import vector_indexes
from app.index.hnsw_search import Condition, Near
from app.index.paged_scans import IndexReader, plan_scan
from app.index.resident.resident_index import ResidentIndex
from app.index.resident.resident_indexes import ResidentIndexes
from app.understanding.labels import label_set_rows
from app.understanding.labels.labels import Label, LabelSet
from app.vectors import Vectors, VectorSpace
from scripts.benchmark_search import database, print_table, print_versions
from scripts.generated_vectors import clip_like, copy_vectors, insert_images, texts_like

SHARES = {"half": 0.5, "tenth": 0.1, "hundredth": 0.01}  # of all pictures that have the label
LOADED = 1_000  # vectors generated and copied at a time
HITS = 10
LOADING_SECONDS = 600.0
CODES_BYTES = 1_000_000_000
HEAD = ["within", "pictures", "recall@10", "p50 ms", "p50 after a write, ms"]


def main(
    count: Annotated[int, typer.Option(help="vectors")] = 100_000,
    dimensions: Annotated[int, typer.Option(help="of each vector")] = 512,
    queries: Annotated[int, typer.Option(help="searches of each kind")] = 100,
    seed: Annotated[int, typer.Option(help="of vectors and labels")] = 1,
) -> None:
    """Print the table."""
    with database() as sessions, ThreadPoolExecutor(1) as threads:
        print_versions(sessions, f"{count:,} vectors of {dimensions} dimensions")
        index = load(sessions, count, dimensions, seed)
        sizes, declared = labelled(sessions, index)
        resident = read_codes(sessions, index, threads)
        asked = texts_like(clip_like(queries, dimensions, seed + 2))
        rows = measured(sessions, resident, asked, sizes, declared)
        print_table("Searches within a label", HEAD, rows)


def load(sessions: Sessions, count: int, dimensions: int, seed: int) -> VectorIndex:
    """An index of pictures without files, with vectors like CLIP's and no graph."""
    space = VectorSpace("generated", "clip-like", "0" * 64, dimensions)
    with sessions.begin() as session:
        collection_id = collections.default(session).id
        insert_images(session, collection_id, ["{}"] * count)
        index = vector_indexes.open_index(session, collection_id, space)
        for start in range(0, count, LOADED):
            some = clip_like(min(LOADED, count - start), dimensions, seed + start)
            copy_vectors(session, index, some, start + 1)
    return index


def labelled(
    sessions: Sessions, index: VectorIndex
) -> tuple[dict[str, int], dict[str, LabelNames]]:
    """Give pictures labels by chance, by their shares: how many have each, and the set's field."""
    labels = LabelSet("kind", tuple(Label(name, (name,)) for name in SHARES))
    with sessions.begin() as session:
        stored, _ = label_set_rows.put(session, index.collection_id, labels)
        for name, share in SHARES.items():
            session.execute(
                text(
                    "INSERT INTO image_labels (set_id, revision, image_id, label, probability) "
                    "SELECT :set, :revision, id, :label, 1 FROM images "
                    "WHERE abs(hashint8extended(id, :salt) % 10000) < :bound"
                ),
                {
                    "set": stored.id,
                    "revision": stored.revision,
                    "label": name,
                    "salt": len(name),
                    "bound": round(share * 10_000),
                },
            )
        found = session.execute(text("SELECT label, count(*) FROM image_labels GROUP BY label"))
        sizes = {name: int(number) for name, number in found}
        session.execute(text("ANALYZE image_labels"))
    return sizes, {"labels.kind": LabelNames(id=stored.id, labels=list(SHARES))}


def read_codes(
    sessions: Sessions, index: VectorIndex, threads: ThreadPoolExecutor
) -> ResidentIndex:
    """The codes of all vectors, once they are in memory."""
    indexes = ResidentIndexes(sessions, CODES_BYTES, threads, threading.Event(), min_vectors=1)
    until = time.monotonic() + LOADING_SECONDS
    while time.monotonic() < until:
        if (found := indexes.of(index)) is not None:
            return found
        time.sleep(0.1)
    raise typer.Exit(1)


def measured(
    sessions: Sessions,
    resident: ResidentIndex,
    queries: Vectors,
    sizes: dict[str, int],
    declared: dict[str, LabelNames],
) -> list[list[str]]:
    """A row without a filter, and one for each label; their searches are made in turn."""
    kinds: dict[str, Condition] = {"all pictures": None}
    for name in SHARES:
        kinds[name] = parse({"labels.kind": name}, declared).condition
    warm: dict[str, list[float]] = {name: [] for name in kinds}
    cold: dict[str, list[float]] = {name: [] for name in kinds}
    recalls: dict[str, list[float]] = {name: [] for name in kinds}
    for query in queries:
        for name, condition in kinds.items():
            touch(sessions)
            cold[name].append(search(sessions, resident, query, condition)[1])
            found, seconds = search(sessions, resident, query, condition)
            warm[name].append(seconds)
            recalls[name].append(recall(sessions, resident.index, query, condition, found))
    return [
        [
            name,
            f"{sizes.get(name, len(resident)):,}",
            f"{np.mean(recalls[name]):.3f}",
            f"{np.median(warm[name]) * 1000:.1f}",
            f"{np.median(cold[name]) * 1000:.1f}",
        ]
        for name in kinds
    ]


def search(
    sessions: Sessions, resident: ResidentIndex, query: Vectors, condition: Condition
) -> tuple[Sequence[Near], float]:
    """The nearest by the codes, and how long that took, in seconds."""
    with sessions.begin() as session:
        began = time.perf_counter()
        view = resident.view(session, condition)
        scan = plan_scan(session, resident.index, condition, HITS, view=view)
        reader = IndexReader(session, resident.index, query, condition, None, view)
        near, _ = reader.window(scan, 0, HITS)
        return near, time.perf_counter() - began


def recall(
    sessions: Sessions,
    index: VectorIndex,
    query: Vectors,
    condition: Condition,
    found: Sequence[Near],
) -> float:
    """The share of the exact nearest that were found."""
    with sessions.begin() as session:
        scan = plan_scan(session, index, condition, HITS, exact=True)
        exact, _ = IndexReader(session, index, query, condition).window(scan, 0, HITS)
    wanted = {image_id for image_id, _ in exact}
    return len(wanted & {image_id for image_id, _ in found}) / len(wanted)


def touch(sessions: Sessions) -> None:
    """Write to a picture, as any upload does: what passes a filter has to be looked up again."""
    with sessions.begin() as session:
        session.execute(text("UPDATE images SET etag = etag || '+' WHERE id = 1"))


if __name__ == "__main__":
    typer.run(main)
