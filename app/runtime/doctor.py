"""What does not fit together between disk, buckets, rows, vectors and jobs, and its mending.

Nothing of a person's own is deleted: a row is forgotten only where its file is gone while the
folder is still there, and a file only where it was kept here and no row tells of it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, text

from app.catalog import image_deletion, image_rows
from app.catalog.collection_deletion import disks
from app.catalog.gallery import delete_marked
from app.database.connections import Sessions
from app.database.tables import IMAGE_COLUMNS, OUTCOMES, PRESENT, Image, VectorIndex, images
from app.errors import ImageRejected, ImageSearchError
from app.index import embeddings, vector_indexes
from app.ingest import job_control, jobs
from app.pictures.decoding import PictureLimits, decode
from app.runtime.collection_registry import CollectionRegistry, OpenCollection
from app.sources.folders import stored_path
from app.sources.interfaces import S3_SCHEME
from app.sources.sources import Sources
from app.storage.disk import Disk, Stores

PAGE = 500  # rows looked at a time
YOUNG_SECONDS = 3_600  # a file without a row may be a picture on its way
STUCK_SECONDS = 120  # a job on which nothing happened for so long, and without a task, is stuck


@dataclass(frozen=True)
class Finding:
    """One kind of fault, what it was found at, and how all of it is mended."""

    name: str
    found: Sequence[str]
    mend: Callable[[], object]


@dataclass(frozen=True)
class Doctor:
    """Looks, and mends what it is told to."""

    sessions: Sessions
    registry: CollectionRegistry
    sources: Sources
    stores: Stores
    limits: PictureLimits
    batch_size: int

    def look(self) -> list[Finding]:
        """Every kind of fault, those that were not found with nothing in them."""
        return [
            self._lost_files(),
            self._stray_files(),
            self._stray_incoming(),
            self._stray_thumbnails(),
            self._tombstones(),
            self._without_vector(),
            self._stray_vectors(),
            self._stuck_jobs(),
            self._wrong_counts(),
            self._invalid_indexes(),
        ]

    def _lost_files(self) -> Finding:
        lost = [image for image in self._images() if not self._is_there(image.path)]

        def forget() -> None:
            sure = [image for image in lost if self._has_folder(image.path)]
            with self.sessions.begin() as session:
                image_deletion.mark_deleted(session, sure)
            delete_marked(self.sessions, self.stores.thumbnails)

        return Finding("rows without file", [image.path for image in lost], forget)

    def _images(self) -> Iterator[Image]:
        query = select(*IMAGE_COLUMNS).where(PRESENT).order_by(images.c.id).limit(PAGE)
        last = 0
        while True:
            with self.sessions.begin() as session:
                rows = session.execute(query.where(images.c.id > last)).mappings()
                page = [Image.of(row) for row in rows]
            yield from page
            if not page:
                return
            last = page[-1].id

    def _is_there(self, path: str) -> bool:
        try:
            return self.sources.exists(path)
        except ImageSearchError:  # a bucket that does not answer now has lost nothing
            return True

    def _has_folder(self, path: str) -> bool:
        """An object's bucket answers; a file's folder holds others, else its disk may be away."""
        location = self.sources.root / path
        if path.startswith(S3_SCHEME):
            return True
        if self._uploads.owns(location):  # its disk, which may be a collection's own
            return any(Disk(location.parent.parent).files())
        return location.parent.is_dir() and any(location.parent.iterdir())

    @property
    def _uploads(self) -> Disk:
        return self.registry.default.uploads.disk

    def _stray_files(self) -> Finding:
        with self.sessions.begin() as session:
            known = set(session.execute(select(images.c.path)).scalars())
        root = self.sources.root
        old = (path for disk in disks(self._uploads) for path in _old(disk))
        stray = [path for path in old if stored_path(path, root) not in known]

        def delete() -> None:
            for path in stray:
                self._delete_stray(path)

        return Finding("files without row", _shown(stray), delete)

    def _delete_stray(self, path: Path) -> None:
        """Unless an upload of the same bytes has taken it over since it was found."""
        with self.sessions.begin() as session:
            with suppress(ValueError):  # a name that is no hash is none of ours
                image_rows.lock_content(session, bytes.fromhex(path.stem))
            here = images.c.path == stored_path(path, self.sources.root)
            if session.execute(select(images.c.id).where(here)).first() is None:
                path.unlink(missing_ok=True)

    def _stray_incoming(self) -> Finding:
        with self.sessions.begin() as session:
            awaited = set(session.execute(text(AWAITED)).scalars())
        stray = [path for path in _old(self.stores.incoming) if path.name not in awaited]
        return Finding("sent files without job", _shown(stray), lambda: _delete(stray))

    def _stray_thumbnails(self) -> Finding:
        with self.sessions.begin() as session:
            hashes = session.execute(select(images.c.content_hash)).scalars()
            known = {content_hash.hex() for content_hash in hashes}
        stray = [
            path for path in _old(self.stores.thumbnails) if path.name.split("-")[0] not in known
        ]
        return Finding("thumbnails without row", _shown(stray), lambda: _delete(stray))

    def _tombstones(self) -> Finding:
        with self.sessions.begin() as session:
            query = select(images.c.path).where(~PRESENT)
            if jobs.any_open(session):  # it is about to delete them
                query = query.limit(0)
            found = list(session.execute(query).scalars())

        return Finding(
            "tombstones", found, lambda: delete_marked(self.sessions, self.stores.thumbnails)
        )

    def _without_vector(self) -> Finding:
        missing: list[Image] = []
        for known in self.registry.every():
            with self.sessions.begin() as session:
                missing += embeddings.without_vector(session, known.index)

        def embed() -> None:
            for image in missing:
                with suppress(ImageSearchError):  # it cannot be read now: it stays found
                    self._embed(self.registry.open_id(image.collection_id), image)

        return Finding("pictures without vector", [image.path for image in missing], embed)

    def _embed(self, opened: OpenCollection, image: Image) -> None:
        try:
            data = self.sources.read(image.path, self.limits.max_file_bytes)
            picture = decode(data, self.limits.max_megapixels)
        except ImageRejected:
            return
        vectors = opened.encoder.encode_images([picture.image])
        with self.sessions.begin() as session:
            embeddings.put_vectors(session, opened.index, [image.id], vectors)

    def _stray_vectors(self) -> Finding:
        found = self._texts(STRAY_VECTORS)
        return Finding("vectors without row", found, lambda: self._run(DELETE_STRAY_VECTORS))

    def _stuck_jobs(self) -> Finding:
        with self.sessions.begin() as session:
            stuck = jobs.without_tasks(session, STUCK_SECONDS)

        def resume() -> None:
            with self.sessions.begin() as session:
                for job in stuck:
                    job_control.resume(session, job, self.batch_size)

        return Finding("stuck jobs", [f"job {job.id}" for job in stuck], resume)

    def _wrong_counts(self) -> Finding:
        found = self._texts(WRONG_COUNTS)
        return Finding("jobs with wrong counts", found, lambda: self._run(RECOUNT))

    def _invalid_indexes(self) -> Finding:
        found = self._texts(INVALID_INDEXES)
        with self.sessions.begin() as session:
            idle = not jobs.any_open(session)
        lacking = [index for index in self._indexes() if idle and self._lacks_graph(index)]

        def rebuild() -> None:
            for name in found:
                is_built_below = name.startswith("embeddings_") and "hnsw" in name
                self._run(f'{"DROP" if is_built_below else "REINDEX"} INDEX "{name}"')
            for index in self._indexes():
                with self.sessions.begin() as session:
                    vector_indexes.build_hnsw(session, index)

        without = [f"{index.partition}: no HNSW graph" for index in lacking]
        return Finding("invalid indexes", [*found, *without], rebuild)

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

    def _run(self, statement: str) -> None:
        with self.sessions.begin() as session:
            session.execute(text(statement))


AWAITED = """
SELECT staged FROM job_items WHERE staged IS NOT NULL
UNION SELECT source->>'staged' FROM jobs WHERE source ? 'staged' AND NOT (listed AND reason IS NULL)
"""
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
"""
COUNTED = [outcome for outcome in OUTCOMES if outcome != "unchanged"]  # those are no items
COUNTS = ", ".join(f"count(*) FILTER (WHERE outcome = '{one}') AS {one}" for one in COUNTED)
TRUE_COUNTS = f"jobs j, LATERAL (SELECT {COUNTS} FROM job_items WHERE job_id = j.id) c"  # noqa: S608
WRONG = " OR ".join(f"j.{one} <> c.{one}" for one in COUNTED)
WRONG_COUNTS = f"SELECT 'job ' || j.id FROM {TRUE_COUNTS} WHERE {WRONG}"  # noqa: S608
RECOUNT = f"""
UPDATE jobs SET {", ".join(f"{one} = t.{one}" for one in COUNTED)}
FROM (SELECT j.id, c.* FROM {TRUE_COUNTS} WHERE {WRONG}) t WHERE jobs.id = t.id
"""  # noqa: S608  # all from OUTCOMES


def _old(disk: Disk) -> list[Path]:
    """The files that are not being written just now."""
    oldest = time.time() - YOUNG_SECONDS
    return [path for path in disk.files() if _written(path) < oldest]


def _written(path: Path) -> float:
    """Its time of change; now where it was deleted since it was listed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()


def _shown(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
