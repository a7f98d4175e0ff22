"""Indexes a batch of a job's files: read, encode, write.

The batch's rows, vectors, items and counts are one transaction, so that a kill at any moment leaves
complete pictures and correct counts. Failures that may pass are retried.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.database.connections import is_unavailable
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import (
    OWN_FAULT,
    GateRefused,
    IndexGone,
    Interrupted,
    StorageUnwritable,
    own_fault,
)
from app.ingest.batch_writing import BatchWriting, Encoded
from app.ingest.further_pages import KEPT_THUMBNAIL
from app.ingest.jobs import jobs, leases
from app.ingest.jobs.job_items import Item
from app.ingest.jobs.jobs import Job
from app.ingest.jobs.leases import ItemResult, LeasedBatch
from app.ingest.prepared import (
    PictureInPlace,
    Prepared,
)
from app.ingest.reading import (
    ItemReader,
    ReadingContext,
    retry_later,
)
from app.ingest.upload_stages import PreparedUpload
from app.pictures.thumbnails import thumbnail_name
from app.storage.disk import Disk

log = logging.getLogger(__name__)

T = TypeVar("T")
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
                    jobs.note_waiting(session, job_id, error)
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
        try:
            return self._results(tasks)
        except StorageUnwritable:  # those that fitted would stay if the job is cancelled
            done = [task.result() for task in tasks if task.exception() is None]
            self.context.uploads.remove_files([one.found for one in done])
            raise

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
            return self._write_failure(batch, error)

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
        def write(session: Session) -> list[ItemResult]:
            ours = leases.still_held(session, batch.items)
            writing = BatchWriting(self.context, session, batch.job, vectors)
            results = writing.results([one for one in prepared if one.item.id in ours])
            leases.record(session, batch.job, results)
            return results

        return self.context.uploads.admission.write(write)

    def _write_failure(self, batch: LeasedBatch, error: Exception) -> list[ItemResult]:
        failure = (own_fault(error), OWN_FAULT)
        with self.context.sessions.begin() as session:
            ours = leases.still_held(session, batch.items)
            results = [retry_later(item, *failure) for item in batch.items if item.id in ours]
            leases.record(session, batch.job, results)
        return results

    def _clean_up(self, prepared: Sequence[Prepared], results: Sequence[ItemResult]) -> None:
        """After the transaction: delete staged files, and what a gate refused; keep thumbnails."""
        refused = {result.item.id for result in results if result.code == GateRefused.code}
        self.context.uploads.remove_files([one.found for one in prepared if one.item.id in refused])
        for result in results:
            if result.item.staged and not leases.keeps_staged(result):
                self.context.incoming.remove(result.item.staged)
        for one in prepared:
            if one.item.id not in refused:
                self._keep_thumbnails(one.found)

    def _keep_thumbnails(self, found: object) -> None:
        if not isinstance(found, PictureInPlace | PreparedUpload):
            return
        kept: list[tuple[float | None, bytes]] = [*found.thumbnails.items()]
        if isinstance(found, PictureInPlace) and found.thumbnail:
            kept.append((None, found.thumbnail))
        for seconds, small in kept:
            name = thumbnail_name(found.new.content_hash, KEPT_THUMBNAIL, seconds)
            try:
                self.thumbnails.put(name, small)
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
