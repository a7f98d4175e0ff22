"""What a new picture costs at 1,000 standing searches: `make benchmark-standing`.

Puts generated vectors into a temporary database, with standing searches of which half have a filter
and half a webhook, adds new pictures and compares them as a worker does. Prints Markdown.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import psutil
import typer
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.standing import new_image_rows, standing_search_rows
from app.catalog.standing.standing_search_rows import EncodedQuery, NewStandingSearch
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.index import vector_copy, vector_indexes
from app.index.calibration import (
    NO_MATCH_BELOW,
    SAMPLE_SIZE,
    NullDistribution,
    measure,
    unrelated_texts,
)
from app.runtime.standing.comparison import Comparison
from app.vectors import Vectors, VectorSpace, unit_rows
from scripts.benchmark_search import database, print_table, print_versions
from scripts.generated_vectors import clip_like, texts_like

ROUNDS = 30  # of each number of pictures; the median counts
AT_ONCE = (1, 32, 256)  # pictures
NOISE = 0.7  # of a new picture, relative to the subject that it shows
FILTERS: tuple[dict[str, Any], ...] = ({}, {"width": {"gte": 1}})
WEBHOOKS = (None, "https://example.org/hook")
HEAD = ["new pictures at once", "matches of a picture", "ms a picture, median", "90 %",
        "of processors, mean"]  # fmt: skip


def main(
    searches: Annotated[int, typer.Option(help="standing searches")] = 1_000,
    pictures: Annotated[int, typer.Option(help="in the collection before")] = 20_000,
    dimensions: Annotated[int, typer.Option(help="of each vector")] = 512,
    seed: Annotated[int, typer.Option(help="of vectors")] = 1,
) -> None:
    """Print the table."""
    with database() as sessions:
        what = f"{searches:,} standing searches, {pictures:,} pictures of {dimensions} dimensions"
        print_versions(sessions, what)
        gallery = clip_like(pictures, dimensions, seed)
        subjects = clip_like(searches, dimensions, seed + 1)
        collection, index = load(sessions, gallery)
        make_searches(sessions, index, texts_like(subjects))
        unrelated = texts_like(clip_like(len(unrelated_texts()), dimensions, seed + 2))
        best = (unrelated @ gallery.T).max(axis=1)
        null = measure(unrelated, gallery[:SAMPLE_SIZE], pictures, best)
        rng = np.random.default_rng(seed)
        bench = Bench(sessions, collection, index, null, subjects, Comparison(sessions), rng)
        print_table("New pictures", HEAD, bench.rows())


def load(sessions: Sessions, gallery: Vectors) -> tuple[Collection, VectorIndex]:
    """The default collection with pictures without files, and their vectors."""
    space = VectorSpace("generated", "clip-like", "0" * 64, gallery.shape[1])
    with sessions.begin() as session:
        collection = collections.default(session)
        index = vector_indexes.open_index(session, collection.id, space)
        add_pictures(session, index, gallery)
    with sessions.begin() as session:
        session.execute(text("ANALYZE images"))
        session.execute(text(f"ANALYZE {index.partition}"))
    return collection, index


def add_pictures(session: Session, index: VectorIndex, vectors: Vectors) -> list[int]:
    """Insert pictures without files; returns their ids."""
    query = text(
        "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, "
        "format) SELECT :collection, 'made/' || gen_random_uuid(), sha256(n::text::bytea), '', "
        "1, 1, 1, 'PNG' FROM generate_series(1, :count) AS n RETURNING id"
    )
    made = {"collection": index.collection_id, "count": len(vectors)}
    ids = list(session.execute(query, made).scalars())
    vector_copy.copy_vectors(session, index, np.array(ids), vectors)
    return ids


def make_searches(sessions: Sessions, index: VectorIndex, queries: Vectors) -> None:
    """A standing search for each vector; every second has a filter, and the next two a webhook."""
    with sessions.begin() as session:
        for n, vector in enumerate(queries):
            terms = [{"weight": 1.0, "text": f"query {n}", "image_id": None}]
            told = (FILTERS[n % 2], NO_MATCH_BELOW, WEBHOOKS[n // 2 % 2])
            new = NewStandingSearch(index.collection_id, terms, *told)
            standing_search_rows.create(session, new, EncodedQuery(index.id, vector, 0.0))


@dataclass(frozen=True)
class Bench:
    """An index with standing searches, about `subjects` of the shape (searches, dimensions)."""

    sessions: Sessions
    collection: Collection
    index: VectorIndex
    null: NullDistribution
    subjects: Vectors
    comparison: Comparison
    rng: np.random.Generator

    def rows(self) -> Iterator[list[str]]:
        """A row of the table for each number of pictures."""
        self._round(1)  # reads the searches
        for at_once in AT_ONCE:
            found = [self._round(at_once) for _ in range(ROUNDS)]
            walls, busy, matches = np.array(found).T / at_once
            told = [f"{at_once}", f"{matches.mean():.1f}", f"{np.median(walls) * 1000:.2f}"]
            yield [*told, f"{np.quantile(walls, 0.9) * 1000:.2f}", f"{busy.mean() * 1000:.2f}"]

    def _round(self, at_once: int) -> tuple[float, float, int]:
        """Seconds that noting and comparing took, seconds of processors, and the matches.

        Pictures are noted in the transaction that writes them, which takes place without them too.
        """
        with self.sessions.begin() as session:
            ids = add_pictures(session, self.index, self._new_vectors(at_once))
            noted = self._seconds(lambda: new_image_rows.note(session, ids))
        compared = self._seconds(
            lambda: self.comparison.compare(self.collection, self.index, self.null)
        )
        wall, busy = np.add(noted, compared)
        with self.sessions.begin() as session:
            count = text("SELECT count(*) FROM standing_matches WHERE image_id = ANY(:ids)")
            matches: int = session.execute(count, {"ids": ids}).scalar_one()
        return wall, busy, matches

    def _new_vectors(self, count: int) -> Vectors:
        """Pictures of the subjects of some searches, as much like each as a photograph is."""
        chosen = self.rng.integers(len(self.subjects), size=count)
        noise = self.rng.standard_normal((count, self.subjects.shape[1]), np.float32)
        return unit_rows(self.subjects[chosen] + NOISE * unit_rows(noise))

    def _seconds(self, work: Callable[[], object]) -> tuple[float, float]:
        """Seconds that `work` took, and seconds of processors: ours and of the server's process.

        Asking for the server's takes some of ours, which are not counted.
        """
        server = self._server_seconds()
        own, began = time.process_time(), time.perf_counter()
        work()
        wall, own = time.perf_counter() - began, time.process_time() - own
        return wall, own + self._server_seconds() - server

    def _server_seconds(self) -> float:
        """Seconds of processors that the server's process has taken."""
        taken = self._server.cpu_times()
        return float(taken.user + taken.system)

    @cached_property
    def _server(self) -> psutil.Process:
        """That of the only connection."""
        with self.sessions.begin() as session:
            return psutil.Process(session.execute(text("SELECT pg_backend_pid()")).scalar_one())


if __name__ == "__main__":
    typer.run(main)
