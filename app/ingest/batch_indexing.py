"""Indexes a batch of a job's files: read, encode, write.

The batch's rows, vectors, items and counts are one transaction, so that a kill at any moment leaves
complete pictures and correct counts. Failures that may pass are retried.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.catalog import skipped_files, upload_copies
from app.catalog.images import image_rows
from app.catalog.skipped_files import SkippedFile
from app.database.connections import is_unavailable
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import IndexGone, Interrupted, StorageUnwritable, own_fault
from app.ingest.jobs import jobs, leases
from app.ingest.jobs.job_items import Item
from app.ingest.jobs.jobs import Job
from app.ingest.jobs.leases import ItemResult, LeasedBatch
from app.ingest.prepared import (
    DeletedContent,
    KnownContent,
    PictureInPlace,
    Prepared,
    RefusedFile,
)
from app.ingest.reading import (
    KEPT_THUMBNAIL,
    ItemReader,
    ReadingContext,
    refusal_rules,
    retry_later,
)
from app.ingest.uploads import PreparedUpload
from app.pictures.thumbnails import thumbnail_name
from app.storage.disk import Disk
from app.vectors import Vectors

log = logging.getLogger(__name__)

T = TypeVar("T")
Encoded = dict[int, dict[int, Vectors]]
"""Vectors, float32 (dimensions,), by the ids of the items that need one, and by page from 1."""

DELETED_HERE = "Its picture was deleted here. include_deleted (INCLUDE_DELETED=1) brings it back."
STOP_SECONDS = 0.2  # between checks whether the worker stops


@dataclass(frozen=True)
class ReadingPools:
    """The threads that read pictures; during searches the semaphore `lanes` limits decoding.

    `fetching` reads URLs, whose servers may be slow; `decoding` everything else.
    """

    decoding: Executor
    fetching: Executor
    lanes: threading.Semaphore


@dataclass(frozen=True)
class BatchIndexer:
    """Indexes batches on the calling thread; `stop` interrupts."""

    context: ReadingContext
    encoder: ResidentModel
    index: VectorIndex
    thumbnails: Disk
    pools: ReadingPools
    stop: threading.Event

    def run_batch(self, job_id: int, item_ids: Sequence[int], worker: str) -> None:
        """Acquire the items that are still open and index them.

        Raises Interrupted, StorageUnwritable, or IndexGone where another generation took its
        place: then they wait, and no attempt is counted.
        """
        with self.context.sessions.begin() as session:
            jobs.start(session, job_id)
        with self.context.sessions.begin() as session:
            batch = leases.acquire(session, job_id, item_ids, worker)
        if not batch.items:
            return
        try:
            prepared = self._prepared(batch)
            with self.context.sessions.begin() as session:
                leases.clear_attempt(session, batch.items)
            results = self._settled(batch, prepared)
        except (Interrupted, IndexGone, StorageUnwritable) as error:
            with self.context.sessions.begin() as session:
                leases.release(session, batch.items)
                if isinstance(error, StorageUnwritable):
                    jobs.note_waiting(session, job_id, str(error))
            raise
        self._clean_up(prepared, results)

    def _prepared(self, batch: LeasedBatch) -> list[Prepared]:
        reader = ItemReader(self.context, batch)
        if len(batch.items) == 1:  # perhaps one that kills workers: it must not wait behind others
            return [reader.of(batch.items[0])]
        if "urls" in batch.job.source:
            tasks = [self.pools.fetching.submit(reader.of, item) for item in batch.items]
        else:
            one = partial(self._one_prepared, reader)
            tasks = [self.pools.decoding.submit(one, item) for item in batch.items]
        return self._results(tasks)

    def _one_prepared(self, reader: ItemReader, item: Item) -> Prepared:
        """During searches half of the cores are left to them."""
        with self.pools.lanes if self.encoder.is_searched() else nullcontext():
            return reader.of(item)

    def _settled(self, batch: LeasedBatch, prepared: Sequence[Prepared]) -> list[ItemResult]:
        """Encode and write; an error that is no file's fault is recorded for every item."""
        try:
            vectors = self._encoded(batch.job, prepared)
            return self._write(batch, prepared, vectors)
        except (Interrupted, IndexGone, StorageUnwritable):
            raise
        except Exception as error:
            if isinstance(error, DBAPIError) and is_unavailable(error):
                raise  # nothing can be written; the batch is requeued when the lease expires
            log.exception("a batch of job %s failed", batch.job.id)
            return self._write_failure(batch, own_fault(error))

    def _encoded(self, job: Job, prepared: Sequence[Prepared]) -> Encoded:
        in_place = job.source.keys() & {"folder", "bucket", "archives"}
        priority = Priority.INDEXING if in_place else Priority.UPLOAD
        waiting = [
            (one.item.id, page, self.encoder.submit([pixels], priority))
            for one in prepared
            if isinstance(one.found, PictureInPlace | PreparedUpload)
            for page, pixels in {1: one.found.pixels, **one.found.pages}.items()
        ]
        rows = self._results([row for _, _, row in waiting])
        encoded: Encoded = {}
        for (item, page, _), row in zip(waiting, rows, strict=True):
            encoded.setdefault(item, {})[page] = row[0]
        return encoded

    def _results(self, futures: "Sequence[Future[T]]") -> list[T]:
        return results_of(futures, self.stop)

    def _write(
        self, batch: LeasedBatch, prepared: Sequence[Prepared], vectors: Encoded
    ) -> list[ItemResult]:
        with self.context.sessions.begin() as session:
            ours = leases.still_held(session, batch.items)
            writing = _Writing(self, session, batch.job, vectors)
            results = writing.results([one for one in prepared if one.item.id in ours])
            leases.record(session, batch.job, results)
        return results

    def _write_failure(self, batch: LeasedBatch, reason: str) -> list[ItemResult]:
        with self.context.sessions.begin() as session:
            ours = leases.still_held(session, batch.items)
            results = [retry_later(item, reason) for item in batch.items if item.id in ours]
            leases.record(session, batch.job, results)
        return results

    def _clean_up(self, prepared: Sequence[Prepared], results: Sequence[ItemResult]) -> None:
        """After the transaction: delete staged files, keep thumbnails."""
        for result in results:
            if result.item.staged and not leases.keeps_staged(result):
                self.context.incoming.remove(result.item.staged)
        for one in prepared:
            if isinstance(one.found, PictureInPlace) and one.found.thumbnail:
                name = thumbnail_name(one.found.new.content_hash, KEPT_THUMBNAIL)
                try:
                    self.thumbnails.put(name, one.found.thumbnail)
                except StorageUnwritable as error:  # it costs the cache, not the picture
                    log.warning("thumbnail not kept: %s", error)


def results_of(futures: "Sequence[Future[T]]", stop: threading.Event) -> list[T]:
    """The results in order. Raises Interrupted, and cancels what waits, once `stop` is set."""
    waiting = set(futures)
    while waiting:
        if stop.is_set():
            for future in futures:
                future.cancel()
            raise Interrupted("The worker stops.")
        _, waiting = wait(waiting, timeout=STOP_SECONDS)
    return [future.result() for future in futures]


class _Writing:
    """One batch's rows, within the caller's transaction."""

    def __init__(self, ingest: BatchIndexer, session: Session, job: Job, vectors: Encoded) -> None:
        self._ingest = ingest
        self._session = session
        self._job = job
        self._vectors = vectors

    def results(self, prepared: Sequence[Prepared]) -> list[ItemResult]:
        """Write what was found; one result per item."""
        places = [(one, one.found) for one in prepared if isinstance(one.found, PictureInPlace)]
        drafts = [(one, one.found) for one in prepared if isinstance(one.found, PreparedUpload)]
        kept = [
            _noted(one, self._kept(one.item, one.found))
            for one in prepared
            if isinstance(one.found, KnownContent)
        ]
        settled = [_noted(one, one.found) for one in prepared if isinstance(one.found, ItemResult)]
        skipped = [*self._refused(prepared), *self._deleted(prepared)]
        return [*self._places(places), *self._drafts(drafts), *kept, *settled, *skipped]

    def _refused(self, prepared: Sequence[Prepared]) -> list[ItemResult]:
        """Record refused files, so that they are not read again before they change."""
        found = [(one.item, one.found) for one in prepared if isinstance(one.found, RefusedFile)]
        rules = refusal_rules(self._ingest.context.limits)
        files = [
            SkippedFile(item.path, item.etag, reason=refused.reason, rules=rules)
            for item, refused in found
        ]
        if not self._job.dry_run:
            skipped_files.put(self._session, self._job.collection_id, files)
        return [ItemResult(item, "failed", refused.reason) for item, refused in found]

    def _deleted(self, prepared: Sequence[Prepared]) -> list[ItemResult]:
        found = [(one.item, one.found) for one in prepared if isinstance(one.found, DeletedContent)]
        for item, content in found if not self._job.dry_run else ():
            place = (content.skipped, item.path, item.etag)
            skipped_files.move(self._session, self._job.collection_id, *place)
        return [ItemResult(item, "unchanged", DELETED_HERE) for item, _ in found]

    def _places(self, places: list[tuple[Prepared, PictureInPlace]]) -> list[ItemResult]:
        places.sort(key=lambda pair: pair[1].new.path)  # two batches never deadlock
        new = [place.new for _, place in places]
        images = image_rows.add_images(self._session, self._ingest.index, new, self._rows(places))
        pages = self._further_pages(places)
        image_rows.put_pages(self._session, self._ingest.index, images, pages)
        paths = [image.path for image in new]
        skipped_files.forget(self._session, self._job.collection_id, paths)
        return [
            _noted(one, ItemResult(one.item, "changed" if place.known else "added", None, image.id))
            for (one, place), image in zip(places, images, strict=True)
        ]

    def _drafts(self, drafts: list[tuple[Prepared, PreparedUpload]]) -> list[ItemResult]:
        """If a batch holds the same bytes twice, the second is a duplicate."""
        first = {draft.new.content_hash: (one, draft) for one, draft in reversed(drafts)}
        chosen = [first[content_hash] for content_hash in sorted(first)]
        uploads = self._ingest.context.uploads
        vectors = (self._rows(chosen), self._further_pages(chosen))
        written = uploads.write(self._session, [draft for _, draft in chosen], *vectors)
        results = []
        for one, draft in drafts:
            status, image = written[draft.new.content_hash]
            is_first = first[draft.new.content_hash][0] is one
            outcome = "added" if status == "stored" and is_first else "duplicate"
            if not is_first:
                upload_copies.add(self._session, image, None, draft.said)
            results.append(_noted(one, ItemResult(one.item, outcome, None, image.id)))
        return results

    def _rows(self, found: Sequence[tuple[Prepared, object]]) -> Vectors:
        """The vectors, float32 (len(found), dimensions)."""
        nothing = np.empty((0, self._ingest.index.dimensions), np.float32)
        return np.vstack([nothing, *(self._vectors[one.item.id][1] for one, _ in found)])

    def _further_pages(self, found: Sequence[tuple[Prepared, object]]) -> list[dict[int, Vectors]]:
        """The vectors, float32 (dimensions,), of pages after the first, by page."""
        every = (self._vectors[one.item.id] for one, _ in found)
        return [{page: row for page, row in rows.items() if page > 1} for rows in every]

    def _kept(self, item: Item, kept: KnownContent) -> ItemResult:
        zone = self._ingest.context.rules.zone
        place = (item.path, item.etag, kept.words, zone)
        if self._job.dry_run or image_rows.move_image(self._session, kept.known, *place):
            if not self._job.dry_run:
                skipped_files.forget(self._session, self._job.collection_id, [item.path])
            return ItemResult(item, kept.outcome, None, kept.known.id)
        return retry_later(item, "The picture was moved or deleted meanwhile.")


def _noted(one: Prepared, result: ItemResult) -> ItemResult:
    return replace(result, reason=result.reason or one.note)
