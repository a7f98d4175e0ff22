"""What a reindexing would take, without building anything: a sample is embedded, and forgotten.

Every original that a model would have to see is looked up; those that are missing become items of
the job, as those that cannot be read do of a real one.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from app.catalog.images import image_rows
from app.catalog.stored_originals import READ_ERRORS
from app.database.connections import Sessions
from app.database.tables import Regions, VectorIndex
from app.encoders.resident_model import ResidentModel
from app.index import generations, missing_vectors, regions
from app.index.missing_vectors import MissingPicture, Wanted
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
class Sample:
    """What embedding some pictures took, and how many regions each has; the unreadable by id."""

    embedded: int = 0
    seconds_a_picture: float | None = None
    regions_a_picture: float = 0.0
    unreadable: Mapping[int, Unreadable] = field(default_factory=dict)


@dataclass(frozen=True)
class DryRun:
    """Estimates what one job would do, on the calling thread."""

    sessions: Sessions
    fill: GenerationFill
    job: Job
    active: VectorIndex
    own_regions: Regions | None

    def run(self, space: VectorSpace, shape: Shape, encoder: ResidentModel) -> None:
        """Write the estimate and the missing originals into the job. Raises Interrupted."""
        wanted = Wanted(space.fingerprint, self.own_regions)
        with self.sessions.begin() as session:
            reindex_jobs.start_over(session, self.job)
            pictures = image_rows.count_images(session, self.active.collection_id)
            embedded = missing_vectors.count_never_seen(session, self.active, wanted)
            reindex_jobs.expect(session, self.job, pictures)
            reindex_jobs.count(self.job.id, session, pictures - embedded, [])
            rows = generations.size(session, self.active).vectors
            if self.own_regions is not None:
                rows -= regions.count(session, self.active)
        sample = self._sample(wanted, encoder)
        vectors = max(rows, pictures)  # further pages and regions have some of their own
        if self.own_regions is not None:
            vectors += round(pictures * sample.regions_a_picture)
        seconds = sample.seconds_a_picture
        estimate = Estimate(
            pictures,
            embedded,
            sample.embedded,
            None if seconds is None else round(seconds * embedded, 3),
            vectors * generations.bytes_a_vector(space.dimensions, shape),
        )
        with self.sessions.begin() as session:
            reindex_jobs.note(session, self.job, estimate=asdict(estimate))
        self._look_up(wanted, sample.unreadable)

    def _sample(self, wanted: Wanted, encoder: ResidentModel) -> Sample:
        with self.sessions.begin() as session:
            pictures = missing_vectors.sample_never_seen(session, self.active, wanted, SAMPLE)
        if not pictures:
            return Sample()
        parts = self.fill.parts_of(self.active.collection_id, self.own_regions)
        encoder.load()
        embedded, found_regions, unreadable = 0, 0, dict[int, Unreadable]()
        began = time.monotonic()
        for some in self.fill.batches(pictures, parts):
            vectors, lost = self.fill.embed(encoder, some, parts)
            embedded += len(vectors)
            found_regions += sum(isinstance(part, tuple) for _, found in vectors for part in found)
            unreadable |= {one.picture.id: one for one in lost}
        if not embedded:
            return Sample(unreadable=unreadable)
        took = time.monotonic() - began
        return Sample(embedded, took / embedded, found_regions / embedded, unreadable)

    def _look_up(self, wanted: Wanted, unreadable: Mapping[int, Unreadable]) -> None:
        after = 0
        while pictures := self._page(wanted, after):
            after = pictures[-1].id
            unknown = [one for one in pictures if one.id not in unreadable]
            tasks = [self.fill.pools.decoding.submit(self._missing, one) for one in unknown]
            looked_up = results_of(tasks, self.fill.stop)
            found = [one for one in looked_up if one is not None]
            found += [unreadable[one.id] for one in pictures if one.id in unreadable]
            with self.sessions.begin() as session:
                reindex_jobs.count(self.job.id, session, len(pictures) - len(found), found)

    def _page(self, wanted: Wanted, after: int) -> Sequence[MissingPicture]:
        with self.sessions.begin() as session:
            return missing_vectors.never_seen(session, self.active, wanted, after, LOOKED_UP)

    def _missing(self, picture: MissingPicture) -> Unreadable | None:
        """Whether neither the original nor an upload of the same bytes is there."""
        places = [place for place in (picture.stored_path, picture.upload_copy) if place]
        try:
            is_there = any(map(self.fill.originals.sources.exists, places))
        except READ_ERRORS as error:
            return Unreadable(picture, str(error))
        return None if is_there else Unreadable(picture, MISSING)
