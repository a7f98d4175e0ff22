"""What a reindexing would take, without building anything: a sample is embedded, and forgotten.

Every original that a model would have to see is looked up; those that are missing become items of
the job, as those that cannot be read do of a real one.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from app.catalog.images import image_rows
from app.catalog.stored_originals import READ_ERRORS
from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.resident_model import ResidentModel
from app.index import generations, missing_vectors
from app.index.missing_vectors import MissingPicture
from app.index.vector_indexes import Shape
from app.ingest.batch_indexing import results_of
from app.ingest.jobs.jobs import Job
from app.runtime.reindexing import reindex_jobs
from app.runtime.reindexing.generation_fill import GenerationFill, Unreadable
from app.vectors import VectorSpace

SAMPLE = 64  # pictures that are embedded to measure the time
LOOKED_UP = 500  # originals in one transaction

MISSING = "Its original is not there."


@dataclass(frozen=True)
class Estimate:
    """Of a generation: `embedded` of its `pictures` would be seen by the model, others copied.

    `seconds` is what embedding takes, at the speed of `sampled` pictures of this library, read
    from where they are; None where there was none to measure. Copying and the graph come on top.
    `bytes` are on disk, graph included.
    """

    pictures: int
    embedded: int
    sampled: int
    seconds: float | None
    bytes: int


@dataclass(frozen=True)
class DryRun:
    """Estimates what one job would do, on the calling thread."""

    sessions: Sessions
    fill: GenerationFill
    job: Job
    active: VectorIndex

    def run(self, space: VectorSpace, shape: Shape, encoder: ResidentModel) -> None:
        """Write the estimate and the missing originals into the job. Raises Interrupted."""
        with self.sessions.begin() as session:
            reindex_jobs.start_over(session, self.job)
            pictures = image_rows.count_images(session, self.active.collection_id)
            embedded = missing_vectors.count_never_seen(session, self.active, space.fingerprint)
            reindex_jobs.expect(session, self.job, pictures)
            reindex_jobs.count(self.job.id, session, pictures - embedded, [])
            rows = generations.size(session, self.active).vectors
        seconds, sampled, unreadable = self._sample(space, encoder)
        vectors = max(rows, pictures)  # further pages and regions have some of their own
        estimate = Estimate(
            pictures,
            embedded,
            sampled,
            None if seconds is None else round(seconds * embedded, 3),
            vectors * generations.bytes_a_vector(space.dimensions, shape),
        )
        with self.sessions.begin() as session:
            reindex_jobs.note(session, self.job, estimate=asdict(estimate))
        self._look_up(space, unreadable)

    def _sample(
        self, space: VectorSpace, encoder: ResidentModel
    ) -> tuple[float | None, int, dict[int, Unreadable]]:
        """Seconds a picture, how many were embedded, and those that could not be read, by id."""
        with self.sessions.begin() as session:
            sample = missing_vectors.sample_never_seen(
                session, self.active, space.fingerprint, SAMPLE
            )
        if not sample:
            return None, 0, {}
        parts = self.fill.parts_of(self.active.collection_id)
        encoder.load()
        embedded, found, began = 0, dict[int, Unreadable](), time.monotonic()
        for some in self.fill.batches(sample, parts):
            vectors, unreadable = self.fill.embed(encoder, some, parts)
            embedded += len(vectors)
            found |= {one.picture.id: one for one in unreadable}
        took = time.monotonic() - began
        return (took / embedded if embedded else None), embedded, found

    def _look_up(self, space: VectorSpace, unreadable: dict[int, Unreadable]) -> None:
        after = 0
        while pictures := self._page(space, after):
            after = pictures[-1].id
            unknown = [one for one in pictures if one.id not in unreadable]
            tasks = [self.fill.pools.decoding.submit(self._missing, one) for one in unknown]
            looked_up = results_of(tasks, self.fill.stop)
            found = [one for one in looked_up if one is not None]
            found += [unreadable[one.id] for one in pictures if one.id in unreadable]
            with self.sessions.begin() as session:
                reindex_jobs.count(self.job.id, session, len(pictures) - len(found), found)

    def _page(self, space: VectorSpace, after: int) -> Sequence[MissingPicture]:
        with self.sessions.begin() as session:
            return missing_vectors.never_seen(
                session, self.active, space.fingerprint, after, LOOKED_UP
            )

    def _missing(self, picture: MissingPicture) -> Unreadable | None:
        """Whether neither the original nor an upload of the same bytes is there."""
        places = [place for place in (picture.stored_path, picture.upload_copy) if place]
        try:
            is_there = any(map(self.fill.originals.sources.exists, places))
        except READ_ERRORS as error:
            return Unreadable(picture, str(error))
        return None if is_there else Unreadable(picture, MISSING)
