"""Searches within the labels of a set beside searches of all: `make benchmark-categories`.

Puts generated vectors with labels into a temporary database, and searches in turn without a filter
and within labels of several sizes: by the codes in memory, then without them, as an index that is
larger than IMAGE_SEARCH_RESIDENT_MB allows is searched; there before and after the labels' set is
marked as a category, which gives the large ones graphs of their own. Prints Markdown.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import typer
from sqlalchemy import text

from app.catalog.filters.filters import Filter, parse
from app.database.connections import Sessions
from app.database.tables import LabelNames, VectorIndex
from app.index import vector_indexes
from app.index.categories import category_graphs
from app.index.hnsw_search import Near
from app.index.paged_scans import IndexReader
from app.index.resident.resident_index import ResidentIndex
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.scan_plans import plan_scan
from app.understanding.labels import label_set_rows
from app.understanding.labels.label_set_rows import StoredLabelSet
from app.understanding.labels.labels import Label, LabelSet
from app.understanding.labels.scoring import Scorer
from app.vectors import Vectors
from scripts.benchmark_search import database, print_table, print_versions
from scripts.generated_vectors import clip_like, filled_index, texts_like

SHARES = {"half": 0.5, "tenth": 0.1, "fiftieth": 0.02, "hundredth": 0.01}  # that have the label
EVERYTHING = "all pictures"
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
        with sessions.begin() as session:
            index = filled_index(session, count, dimensions, seed)
        sizes, stored = labelled(sessions, index)
        resident = read_codes(sessions, index, threads)
        asked = texts_like(clip_like(queries, dimensions, seed + 2))
        with sessions.begin() as session:
            vector_indexes.build_hnsw(session, index)
            session.execute(text("ANALYZE images"))
        for title, codes in (("By codes in memory", resident), ("Without codes", None)):
            searched = Searched(sessions, index, codes)
            print_table(title, HEAD, measured(searched, asked, sizes, stored))
        seconds = build_graphs(sessions, index, stored)
        title = f"Without codes, with graphs of labels, built in {seconds:.0f} s"
        print_table(title, HEAD, measured(searched, asked, sizes, stored))


@dataclass(frozen=True)
class Searched:
    """What is searched: an index, by its codes if they are given."""

    sessions: Sessions
    index: VectorIndex
    codes: ResidentIndex | None


def labelled(sessions: Sessions, index: VectorIndex) -> tuple[dict[str, int], StoredLabelSet]:
    """Give pictures labels by chance, by their shares: how many have each, and the set."""
    labels = LabelSet("kind", tuple(Label(name, (name,)) for name in SHARES))
    with sessions.begin() as session:
        stored, _ = label_set_rows.put(session, index.collection_id, labels)
        scorer = Scorer(labels, np.zeros((len(SHARES), index.dimensions), np.float32), 1.0)
        label_set_rows.keep_vectors(session, stored, scorer, index.fingerprint)
        stored = label_set_rows.get(session, index.collection_id, labels.name)
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
        found = session.execute(
            text(
                "SELECT label, count(*) FROM image_labels GROUP BY label "
                "UNION ALL SELECT :everything, count(*) FROM images"
            ),
            {"everything": EVERYTHING},
        )
        sizes = {name: int(number) for name, number in found}
        session.execute(text("ANALYZE image_labels"))
    return sizes, stored


def build_graphs(sessions: Sessions, index: VectorIndex, stored: StoredLabelSet) -> float:
    """Mark the set as a category and have its graphs built: how long that took, in seconds."""
    with sessions.begin() as session:
        label_set_rows.put(session, index.collection_id, replace(stored.labels, category=True))
    began = time.perf_counter()
    category_graphs.maintain(sessions, index, may_build=True)
    return time.perf_counter() - began


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
    searched: Searched,
    queries: Vectors,
    sizes: dict[str, int],
    stored: StoredLabelSet,
) -> list[list[str]]:
    """A row without a filter, and one for each label; their searches are made in turn."""
    declared = {"labels.kind": LabelNames(id=stored.id, labels=list(SHARES))}
    kinds = {EVERYTHING: parse({}, declared)}
    for name in SHARES:
        kinds[name] = parse({"labels.kind": name}, declared)
    warm: dict[str, list[float]] = {name: [] for name in kinds}
    cold: dict[str, list[float]] = {name: [] for name in kinds}
    recalls: dict[str, list[float]] = {name: [] for name in kinds}
    for query in queries:
        for name, where in kinds.items():
            touch(searched.sessions)
            cold[name].append(search(searched, query, where)[1])
            found, seconds = search(searched, query, where)
            warm[name].append(seconds)
            recalls[name].append(recall(searched, query, where, found))
    return [
        [
            name,
            f"{sizes[name]:,}",
            f"{np.mean(recalls[name]):.3f}",
            f"{np.median(warm[name]) * 1000:.1f}",
            f"{np.median(cold[name]) * 1000:.1f}",
        ]
        for name in kinds
    ]


def search(
    searched: Searched, query: Vectors, where: Filter, *, exact: bool = False
) -> tuple[Sequence[Near], float]:
    """The nearest, and how long finding them took, in seconds."""
    index, codes = searched.index, None if exact else searched.codes
    condition = where.condition if where.labels else None
    with searched.sessions.begin() as session:
        began = time.perf_counter()
        view = codes.view(session, condition) if codes else None
        within = where.within
        scan = plan_scan(session, index, condition, HITS, exact=exact, view=view, within=within)
        near, _ = IndexReader(session, index, query, condition, None, view).window(scan, 0, HITS)
        return near, time.perf_counter() - began


def recall(searched: Searched, query: Vectors, where: Filter, found: Sequence[Near]) -> float:
    """The share of the exact nearest that were found."""
    exact, _ = search(searched, query, where, exact=True)
    wanted = {image_id for image_id, _ in exact}
    return len(wanted & {image_id for image_id, _ in found}) / len(wanted)


def touch(sessions: Sessions) -> None:
    """Write to a picture, as any upload does: what passes a filter has to be looked up again."""
    with sessions.begin() as session:
        session.execute(text("UPDATE images SET etag = etag || '+' WHERE id = 1"))


if __name__ == "__main__":
    typer.run(main)
