"""What does not fit together between disk, buckets, rows, vectors and jobs, and its mending.

Nothing of a person's own is removed, and nothing of another database's or machine's store. Files
are moved into the store's trash; `findings.py` bounds how much is removed in one go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select, text

from app.catalog.images import image_rows
from app.catalog.images.image_removal import delete_marked
from app.database.connections import Sessions
from app.database.job_tables import OUTCOMES
from app.database.read_replicas import ReadReplicas
from app.database.tables import EXPIRED, Image, VectorIndex, images
from app.encoders.batching import Priority
from app.errors import ImageSearchError
from app.index import embeddings, vector_indexes
from app.index.graph_rebuild import build_graph
from app.ingest.further_pages import read_further_pages
from app.ingest.jobs import job_control, jobs
from app.pictures.decoding import decode
from app.pictures.picture_limits import PictureLimits
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.coverage import CoverageReport
from app.runtime.doctor.findings import Finding
from app.runtime.doctor.lossy_graphs import LossyGraphs
from app.runtime.doctor.lost_files import LostFiles
from app.runtime.doctor.stray_files import StrayFiles
from app.runtime.open_collection import OpenCollection
from app.sources.source_access import Sources
from app.storage.disk import Stores
from app.vectors import Vectors

STUCK_SECONDS = 120  # a job on which nothing happened for so long, and without a task, is stuck


@dataclass(frozen=True)
class Report:
    """The findings, one of each kind, and notes on what could not be examined.

    `coverage` has a sentence for each annotator and label set: no faults, but good to know.
    """

    findings: Sequence[Finding]
    notes: Sequence[str]
    coverage: Sequence[str]


@dataclass(frozen=True)
class Doctor:
    """Looks for faults; the findings mend them."""

    sessions: Sessions
    registry: CollectionRegistry
    sources: Sources
    stores: Stores
    limits: PictureLimits
    batch_size: int
    coverage: CoverageReport
    replicas: ReadReplicas | None

    def examine(self) -> Report:
        """Every kind of fault, those that were not found with nothing in them."""
        lost, notes = LostFiles(self.sessions, self.sources, self.stores).look()
        strays, places = StrayFiles(self.sessions, self.stores).look()
        lossy, remarks = LossyGraphs(self.sessions, self._indexes()).look()
        findings = [
            lost,
            *strays,
            self._tombstones(),
            self._without_vector(),
            self._stray_vectors(),
            self._stuck_jobs(),
            self._wrong_counts(),
            self._invalid_indexes(),
            lossy,
            *self._unused_replicas(),
        ]
        return Report(findings, [*notes, *places, *remarks], self._coverage())

    def _coverage(self) -> list[str]:
        return [
            f"{known.collection.namespace}/{known.collection.name}, {one.sentence}"
            for known in self.registry.every()
            for one in self.coverage.of(known)
        ]

    def _tombstones(self) -> Finding:
        with self.sessions.begin() as session:
            query = select(images.c.path).where(EXPIRED)
            if jobs.any_open(session):  # it is about to delete them
                query = query.limit(0)
            found = list(session.execute(query).scalars())

        def finish(sure: bool) -> int:
            delete_marked(self.sessions, self.stores)
            return len(found)

        return Finding("tombstones", found, finish)

    def _without_vector(self) -> Finding:
        missing: list[Image] = []
        for known in self.registry.every():
            with self.sessions.begin() as session:
                all_pages = known.collection.pages == "all"
                missing += embeddings.without_vector(session, known.index, all_pages=all_pages)

        def embed(sure: bool) -> int:
            return sum(self._embed(image) for image in missing)

        return Finding("pictures without vector", [image.path for image in missing], embed)

    def _embed(self, image: Image) -> bool:
        """False if it cannot be read now: it stays found."""
        try:
            opened = self.registry.open_id(image.collection_id)
            self._put_vector(opened, image)
        except ImageSearchError:
            return False
        return True

    def _put_vector(self, opened: OpenCollection, image: Image) -> None:
        data = self.sources.read(image.stored_path, self.limits.max_file_bytes)
        picture = decode(data, self.limits.max_megapixels, is_background=True)
        vectors = opened.encoder.encode_images([picture.image])
        pages: dict[int, Vectors] = {}
        times: Sequence[float] | None = image.frame_times
        if opened.collection.pages == "all":
            limit, encoder = self.limits.max_megapixels, opened.encoder
            found = read_further_pages(data, picture, limit, encoder.prepare)
            times = found.times
            for page, pixels in found.pixels.items():
                pages[page] = encoder.submit([pixels], Priority.INDEXING).result()[0]
        with self.sessions.begin() as session:
            embeddings.put_vectors(session, opened.index, [image.id], vectors)
            image_rows.put_pages(session, opened.index, [image], [pages])
            image_rows.put_frame_times(session, image.id, times)

    def _stray_vectors(self) -> Finding:
        found = self._texts(STRAY_VECTORS)
        return Finding("vectors without row", found, lambda _: self._run(DELETE_STRAY_VECTORS))

    def _stuck_jobs(self) -> Finding:
        with self.sessions.begin() as session:
            stuck = job_control.without_tasks(session, STUCK_SECONDS)

        def resume(sure: bool) -> int:
            with self.sessions.begin() as session:
                for job in stuck:
                    job_control.resume(session, job, self.batch_size)
            return len(stuck)

        return Finding("stuck jobs", [f"job {job.id}" for job in stuck], resume)

    def _wrong_counts(self) -> Finding:
        found = self._texts(WRONG_COUNTS)
        return Finding("jobs with wrong counts", found, lambda _: self._run(RECOUNT))

    def _invalid_indexes(self) -> Finding:
        found = self._texts(INVALID_INDEXES)
        with self.sessions.begin() as session:
            idle = not jobs.any_open(session)
        lacking = [index for index in self._indexes() if idle and self._lacks_graph(index)]

        def rebuild(sure: bool) -> int:
            for name in found:
                is_built_below = name.startswith("embeddings_") and "hnsw" in name
                self._run(f'{"DROP" if is_built_below else "REINDEX"} INDEX "{name}"')
            for index in self._indexes():
                build_graph(self.sessions, index)
            return len(found) + len(lacking)

        without = [f"{index.partition}: no HNSW graph" for index in lacking]
        return Finding("invalid indexes", [*found, *without], rebuild)

    def _unused_replicas(self) -> Iterator[Finding]:
        """Where there are replicas; a person has to mend them."""
        if self.replicas is None:
            return
        for one in self.replicas.replicas:
            self.replicas.look(one)
        unused = [one for one in self.replicas.replicas if one.state != "in_use"]
        found = [f"{one.name}: {one.fault or f'{one.lag:.0f} s behind'}" for one in unused]
        yield Finding("unused replicas", found, lambda _: 0)

    def _indexes(self) -> list[VectorIndex]:
        return [known.index for known in self.registry.every()]

    def _lacks_graph(self, index: VectorIndex) -> bool:
        """It has vectors to find, and no graph."""
        with self.sessions.begin() as session:
            filled = vector_indexes.count_vectors(session, index, limit=1) > 0
            return filled and not vector_indexes.has_hnsw(session, index)

    def _texts(self, query: str) -> list[str]:
        with self.sessions.begin() as session:
            return [str(value) for value in session.execute(text(query)).scalars()]

    def _run(self, statement: str) -> int:
        """Execute a statement; returns how many rows it changed."""
        with self.sessions.begin() as session:
            return session.connection().execute(text(statement)).rowcount


STRAY_VECTORS = """
SELECT DISTINCT image_id FROM embeddings e
WHERE NOT EXISTS (SELECT 1 FROM images i WHERE i.id = e.image_id)
"""
DELETE_STRAY_VECTORS = """
DELETE FROM embeddings e WHERE NOT EXISTS (SELECT 1 FROM images i WHERE i.id = e.image_id)
"""
INVALID_INDEXES = """
SELECT c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (x.indisvalid AND x.indisready) AND n.nspname = current_schema()
    AND x.indrelid <> 'category_vectors'::regclass
"""
"""Without the graphs of labels: they are built beside everything else, which drops failed ones."""
COUNTED = [outcome for outcome in OUTCOMES if outcome != "unchanged"]  # those are no items
COUNTS = ", ".join(f"count(*) FILTER (WHERE outcome = '{one}') AS {one}" for one in COUNTED)
TRUE_COUNTS = f"jobs j, LATERAL (SELECT {COUNTS} FROM job_items WHERE job_id = j.id) c"  # noqa: S608
DIFFER = " OR ".join(f"j.{one} <> c.{one}" for one in COUNTED)
HAS_ITEMS = " AND ".join(f"NOT j.source ? '{kind}'" for kind in job_control.WITHOUT_ITEMS)
WRONG = f"{HAS_ITEMS} AND ({DIFFER})"
WRONG_COUNTS = f"SELECT 'job ' || j.id FROM {TRUE_COUNTS} WHERE {WRONG}"  # noqa: S608
RECOUNT = f"""
UPDATE jobs SET {", ".join(f"{one} = t.{one}" for one in COUNTED)}
FROM (SELECT j.id, c.* FROM {TRUE_COUNTS} WHERE {WRONG}) t WHERE jobs.id = t.id
"""  # noqa: S608  # all from OUTCOMES
