"""How fast a dataset with vectors is imported: `make benchmark-import`.

Exports generated pictures from one collection of a temporary database, and imports them into
others. Prints Markdown.
"""

import time
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
import psutil
import typer
from sqlalchemy import text

from app.database.connections import Sessions
from app.database.embedded.postgres_programs import temporary_folder
from app.database.tables import VectorIndex
from app.index import vector_indexes
from app.index.vector_copy import copy_vectors
from app.runtime.dataset.exporting import export_dataset
from app.runtime.dataset.importing import import_dataset
from app.runtime.dataset.manifest import FileKind
from app.vectors import Vectors
from scripts.benchmark_search import database, print_table, print_versions
from scripts.benchmark_standing import load
from scripts.generated_vectors import clip_like

HEAD = ["what", "a second", "a processor second", "commit and graph, s"]
NAMESPACE = "default"
ROUNDS = 5  # of copying


def main(
    pictures: Annotated[int, typer.Option(help="in the dataset")] = 20_000,
    dimensions: Annotated[int, typer.Option(help="of each vector")] = 512,
    seed: Annotated[int, typer.Option(help="of vectors")] = 1,
) -> None:
    """Print the table."""
    vectors = clip_like(pictures, dimensions, seed)
    with database() as sessions, temporary_folder("import-") as folder:
        print_versions(sessions, f"{pictures:,} pictures of {dimensions} dimensions")
        collection, index = load(sessions, vectors)
        rows = [_copied(sessions, index, vectors)]
        rows += [_imported(sessions, collection.name, folder, kind) for kind in get_args(FileKind)]
        print_table("Import", HEAD, rows)


def _copied(sessions: Sessions, index: VectorIndex, vectors: Vectors) -> list[str]:
    """Vectors into the partition without its graph, as an import writes them: the best round."""
    with sessions.begin() as session:
        ids = np.array(session.execute(text("SELECT id FROM images ORDER BY id")).scalars().all())
    rounds = []
    for _ in range(ROUNDS):
        with sessions.begin() as session:
            session.execute(text(f"TRUNCATE {index.partition}"))
        with sessions.begin() as session:
            vector_indexes.drop_hnsw_if_empty(session, index)
        with sessions.begin() as session:
            pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            busy, began = _processor_seconds(pid), time.perf_counter()
            copy_vectors(session, index, ids, vectors)
            rounds.append((time.perf_counter() - began, _processor_seconds(pid) - busy))
    wall, busy = (len(vectors) / min(some) for some in zip(*rounds, strict=True))
    return ["vectors alone, by COPY", f"{wall:,.0f}", f"{busy:,.0f}", ""]


def _processor_seconds(pid: int) -> float:
    """Those of this process and of the server's process."""
    server = psutil.Process(pid).cpu_times()
    return float(time.process_time() + server.user + server.system)


def _imported(sessions: Sessions, name: str, folder: Path, kind: FileKind) -> list[str]:
    """Pictures a second, read twice, checked and written, and the seconds after the last one."""
    dataset = folder / kind
    export_dataset(sessions, (NAMESPACE, name), dataset, kind, lambda *_: None)
    moments = [time.perf_counter()]
    loading = import_dataset(
        sessions, (NAMESPACE, kind), dataset, lambda *_: moments.append(time.perf_counter())
    )
    rest = time.perf_counter() - moments[-1]
    rate = loading.counts["added"] / (moments[-1] - moments[0])
    return [f"pictures, {kind}", f"{rate:,.0f}", "", f"{rest:.1f}"]


if __name__ == "__main__":
    typer.run(main)
