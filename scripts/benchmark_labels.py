"""How long labelling stored pictures takes, and filters by labels: `make benchmark-labels`.

Puts generated vectors into a temporary database, labels them as a label set's job does, and times
a filter, a filtered search and a facet. Prints Markdown.
"""

import resource
import time
from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
import psutil
import typer
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.filters.filters import parse
from app.catalog.images import image_listing
from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.index import vector_indexes
from app.index.calibration import unrelated_texts
from app.index.paged_scans import IndexReader
from app.index.scan_plans import plan_scan
from app.index.scan_settings import prepare
from app.runtime.labelling.label_work import BATCH, PAGE
from app.understanding.labels import image_label_rows, label_set_rows
from app.understanding.labels.label_set_rows import StoredLabelSet
from app.understanding.labels.labelling import label_stored
from app.understanding.labels.labels import Label, LabelSet
from app.understanding.labels.scoring import Scorer
from scripts.benchmark_search import database, print_table, print_versions
from scripts.generated_vectors import clip_like, filled_index

PHRASES = 2  # of a label
LOGIT_SCALE = 100.0  # CLIP's
TIMED = 10  # runs of which the median counts
MEGA = 1_000_000
KIND = "labels.kind"  # the field of the set
HITS = 10
LABELLING_HEAD = ["set", "pictures", "labels given", "seconds", "processor seconds", "peak MB"]


def main(
    count: Annotated[int, typer.Option(help="vectors")] = 100_000,
    labels: Annotated[int, typer.Option(help="in the set")] = 50,
    dimensions: Annotated[int, typer.Option(help="of each vector")] = 512,
    seed: Annotated[int, typer.Option(help="of vectors and labels")] = 1,
) -> None:
    """Print the tables."""
    with database() as sessions:
        print_versions(sessions, f"{count:,} vectors of {dimensions} dimensions, {labels} labels")
        with sessions.begin() as session:
            index = filled_index(session, count, dimensions, seed)
        with sessions.begin() as session:
            vector_indexes.build_hnsw(session, index)
            session.execute(text("ANALYZE images"))
        rows = [
            label(sessions, index, name, labels, seed)
            for name in ("exclusive", "independent", "ten each")
        ]
        print_table("Labelling", LABELLING_HEAD, rows)
        print_table("Searching", ["what", "p50 ms"], searches(sessions, index, seed))


def label(sessions: Sessions, index: VectorIndex, name: str, number: int, seed: int) -> list[str]:
    """Label all pictures by a set of that kind; a row of the table."""
    names = [f"{name} {n}" for n in range(number)]
    labels = LabelSet(
        "kind",
        tuple(Label(one, tuple(map(str, range(PHRASES)))) for one in names),
        exclusive=name == "exclusive",
        threshold=0.0 if name == "ten each" else 0.1,
    )
    texts = number * PHRASES + len(unrelated_texts())
    scorer = Scorer(labels, clip_like(texts, index.dimensions, seed + 1), LOGIT_SCALE)
    with sessions.begin() as session:
        stored, _ = label_set_rows.put(session, index.collection_id, labels)
        label_set_rows.keep_vectors(session, stored, scorer, index.fingerprint)
        stored = label_set_rows.get(session, index.collection_id, "kind")
    began, after, done = time.perf_counter(), 0, 0
    busy = _processor_seconds(sessions)
    while ids := _unlabelled(sessions, stored, index, after):
        for start in range(0, len(ids), BATCH):
            with sessions.begin() as session:
                done += label_stored(session, stored, index, scorer, ids[start : start + BATCH])
        after = ids[-1]
    seconds = time.perf_counter() - began
    busy = _processor_seconds(sessions) - busy
    with sessions.begin() as session:
        held = session.execute(text("SELECT count(*) FROM image_labels")).scalar_one()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGA
    return [name, f"{done:,}", f"{held:,}", f"{seconds:.1f}", f"{busy:.1f}", f"{peak:.0f}"]


def _processor_seconds(sessions: Sessions) -> float:
    """Those of this process and of the server's process that it works with."""
    with sessions.begin() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    both = [psutil.Process(pid).cpu_times(), psutil.Process().cpu_times()]
    return float(sum(one.user + one.system for one in both))


def _unlabelled(
    sessions: Sessions, stored: StoredLabelSet, index: VectorIndex, after: int
) -> list[int]:
    with sessions.begin() as session:
        return image_label_rows.unlabelled(session, stored, index, after, PAGE)


def searches(sessions: Sessions, index: VectorIndex, seed: int) -> Iterator[list[str]]:
    """Times of a count, of filtered searches, and of a facet, among ten labels a picture."""
    query = clip_like(1, index.dimensions, seed + 2)[0]
    with sessions.begin() as session:
        common, rare = session.execute(
            text(
                "SELECT (array_agg(label ORDER BY n DESC))[1], (array_agg(label ORDER BY n))[1] "
                "FROM (SELECT label, count(*) AS n FROM image_labels GROUP BY label) AS counted"
            )
        ).one()
        declared = collections.default(session).filterable

    def search(session: Session, name: str) -> None:
        where = parse({KIND: name}, declared).condition
        scan = plan_scan(session, index, where, HITS)
        IndexReader(session, index, query, where).window(scan, 0, HITS)

    def count(session: Session) -> None:
        image_listing.count(session, index.collection_id, parse({KIND: common}, declared))

    def facet(session: Session) -> None:
        everything = parse({}, declared)
        image_listing.facets(session, index.collection_id, everything, KIND, declared, HITS)

    yield ["count of the most frequent label", _median(sessions, count)]
    yield ["search with the most frequent label", _median(sessions, lambda s: search(s, common))]
    yield ["search with the rarest label", _median(sessions, lambda s: search(s, rare))]
    yield ["facet", _median(sessions, facet)]


def _median(sessions: Sessions, work: Callable[[Session], None]) -> str:
    times = []
    for _ in range(TIMED):
        with sessions.begin() as session:
            prepare(session)
            began = time.perf_counter()
            work(session)
            times.append(time.perf_counter() - began)
    return f"{np.median(times) * 1000:.1f}"


if __name__ == "__main__":
    typer.run(main)
