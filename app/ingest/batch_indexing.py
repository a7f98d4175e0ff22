"""A batch of a job's files: prepared, encoded, written.

The batch's rows, vectors, items and counts are one transaction, so that a kill at any moment leaves
whole pictures and true counts. What only some other moment may allow is tried again.
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

from app.catalog import image_rows
from app.database.connections import is_unavailable
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident import ResidentModel
from app.errors import Interrupted, own_fault
from app.ingest import jobs, leases
from app.ingest.job_items import Item
from app.ingest.jobs import Job
from app.ingest.leases import ItemResult, LeasedBatch
from app.ingest.reading import (
    KEPT_THUMBNAIL,
    ItemReader,
    KnownContent,
    PictureInPlace,
    Prepared,
    ReadingContext,
    again,
)
from app.ingest.uploads import PreparedUpload
from app.pictures.decoding import thumbnail_name
from app.storage.disk import Disk
from app.vectors import Vectors

log = logging.getLogger(__name__)

T = TypeVar("T")
Encoded = dict[int, Vectors]
"""Vectors, float32 (dimensions,), by the ids of the items that need one."""

STOP_SECONDS = 0.2  # how often a batch that waits looks whether the worker stops


@dataclass(frozen=True)
class ReadingPools:
    """The threads that read pictures; while somebody searches only as many decode as `lanes` lets.

    `fetching` reads what URLs lead to, since their servers may be slow; `decoding` all else.
    """

    decoding: Executor
    fetching: Executor
    lanes: threading.Semaphore


@dataclass(frozen=True)
class BatchIndexer:
    """Works on batches, on whatever thread calls; `stop` interrupts."""

    context: ReadingContext
    encoder: ResidentModel
    index: VectorIndex
    thumbnails: Disk
    pools: ReadingPools
    stop: threading.Event

    def run_batch(self, job_id: int, item_ids: Sequence[int], worker: str) -> None:
        """Take the items that are still open and settle each. Raises Interrupted."""
        with self.context.sessions.begin() as session:
            jobs.start(session, job_id)
        with self.context.sessions.begin() as session:
            taken = leases.take(session, job_id, item_ids, worker)
        if not taken.items:
            return
        try:
            prepared = self._prepared(taken)
            with self.context.sessions.begin() as session:
                leases.survived(session, taken.items)
            results = self._settled(taken, prepared)
        except Interrupted:
            with self.context.sessions.begin() as session:
                leases.release(session, taken.items)
            raise
        self._tidy(prepared, results)

    def _prepared(self, taken: LeasedBatch) -> list[Prepared]:
        preparation = ItemReader(self.context, taken)
        if len(taken.items) == 1:  # maybe under suspicion: then it must not wait its turn
            return [preparation.of(taken.items[0])]
        if "urls" in taken.job.source:
            tasks = [self.pools.fetching.submit(preparation.of, item) for item in taken.items]
        else:
            one = partial(self._one_prepared, preparation)
            tasks = [self.pools.decoding.submit(one, item) for item in taken.items]
        return self._wait(tasks)

    def _one_prepared(self, preparation: ItemReader, item: Item) -> Prepared:
        """While somebody searches half of the cores are left to that."""
        with self.pools.lanes if self.encoder.is_searched() else nullcontext():
            return preparation.of(item)

    def _settled(self, taken: LeasedBatch, prepared: Sequence[Prepared]) -> list[ItemResult]:
        """Encode and write; an error that is no file's fault is noted at each of its items."""
        try:
            vectors = self._encoded(taken.job, prepared)
            return self._write(taken, prepared, vectors)
        except Interrupted:
            raise
        except Exception as error:
            if isinstance(error, DBAPIError) and is_unavailable(error):
                raise  # nothing can be noted; the batch is taken up again once the lease is over
            log.exception("a batch of job %s failed", taken.job.id)
            return self._write_failure(taken, own_fault(error))

    def _encoded(self, job: Job, prepared: Sequence[Prepared]) -> Encoded:
        in_place = job.source.keys() & {"folder", "bucket"}
        priority = Priority.INDEXING if in_place else Priority.UPLOAD
        items, pixels = [], []
        for one in prepared:
            if isinstance(one.found, PictureInPlace | PreparedUpload):
                items.append(one.item.id)
                pixels.append(one.found.pixels)
        rows = self._wait([self.encoder.submit([one], priority) for one in pixels])
        return {item: row[0] for item, row in zip(items, rows, strict=True)}

    def _wait(self, futures: "Sequence[Future[T]]") -> list[T]:
        """The results in order. Raises Interrupted once the worker stops."""
        waiting = set(futures)
        while waiting:
            if self.stop.is_set():
                for future in futures:
                    future.cancel()
                raise Interrupted("The worker stops.")
            _, waiting = wait(waiting, timeout=STOP_SECONDS)
        return [future.result() for future in futures]

    def _write(
        self, taken: LeasedBatch, prepared: Sequence[Prepared], vectors: Encoded
    ) -> list[ItemResult]:
        with self.context.sessions.begin() as session:
            ours = leases.still_ours(session, taken.items)
            writing = _Writing(self, session, taken.job, vectors)
            results = writing.results([one for one in prepared if one.item.id in ours])
            leases.record(session, taken.job, results)
        return results

    def _write_failure(self, taken: LeasedBatch, reason: str) -> list[ItemResult]:
        with self.context.sessions.begin() as session:
            ours = leases.still_ours(session, taken.items)
            results = [again(item, reason) for item in taken.items if item.id in ours]
            leases.record(session, taken.job, results)
        return results

    def _tidy(self, prepared: Sequence[Prepared], results: Sequence[ItemResult]) -> None:
        """What need not be in the transaction: files that have served, thumbnails to keep."""
        for result in results:
            if result.item.staged and not leases.keeps_staged(result):
                self.context.incoming.remove(result.item.staged)
        for one in prepared:
            if isinstance(one.found, PictureInPlace) and one.found.thumbnail:
                name = thumbnail_name(one.found.new.content_hash, KEPT_THUMBNAIL)
                try:
                    self.thumbnails.put(name, one.found.thumbnail)
                except OSError as error:  # a full disk costs the cache, not the picture
                    log.warning("thumbnail not kept: %s", error)


class _Writing:
    """One batch's rows, within the caller's transaction."""

    def __init__(self, ingest: BatchIndexer, session: Session, job: Job, vectors: Encoded) -> None:
        self._ingest = ingest
        self._session = session
        self._job = job
        self._vectors = vectors

    def results(self, prepared: Sequence[Prepared]) -> list[ItemResult]:
        """Write what was found; one result an item."""
        places = [(one, one.found) for one in prepared if isinstance(one.found, PictureInPlace)]
        drafts = [(one, one.found) for one in prepared if isinstance(one.found, PreparedUpload)]
        kept = [
            _noted(one, self._kept(one.item, one.found))
            for one in prepared
            if isinstance(one.found, KnownContent)
        ]
        settled = [_noted(one, one.found) for one in prepared if isinstance(one.found, ItemResult)]
        return [*self._places(places), *self._drafts(drafts), *kept, *settled]

    def _places(self, places: list[tuple[Prepared, PictureInPlace]]) -> list[ItemResult]:
        places.sort(key=lambda pair: pair[1].new.path)  # two batches never wait in a circle
        new = [place.new for _, place in places]
        images = image_rows.add_images(self._session, self._ingest.index, new, self._rows(places))
        return [
            _noted(one, ItemResult(one.item, "changed" if place.known else "added", None, image.id))
            for (one, place), image in zip(places, images, strict=True)
        ]

    def _drafts(self, drafts: list[tuple[Prepared, PreparedUpload]]) -> list[ItemResult]:
        """Of the same bytes twice in a batch, the second is a duplicate."""
        first = {draft.new.content_hash: (one, draft) for one, draft in reversed(drafts)}
        chosen = [first[content_hash] for content_hash in sorted(first)]
        uploads = self._ingest.context.uploads
        written = uploads.write(self._session, [draft for _, draft in chosen], self._rows(chosen))
        results = []
        for one, draft in drafts:
            status, image = written[draft.new.content_hash]
            is_first = first[draft.new.content_hash][0] is one
            outcome = "added" if status == "stored" and is_first else "duplicate"
            results.append(_noted(one, ItemResult(one.item, outcome, None, image.id)))
        return results

    def _rows(self, found: Sequence[tuple[Prepared, object]]) -> Vectors:
        """The vectors, float32 (len(found), dimensions)."""
        nothing = np.empty((0, self._ingest.index.dimensions), np.float32)
        return np.vstack([nothing, *(self._vectors[one.item.id] for one, _ in found)])

    def _kept(self, item: Item, kept: KnownContent) -> ItemResult:
        place = (item.path, item.etag, kept.annotation)
        if self._job.dry_run or image_rows.place_image(self._session, kept.known, *place):
            return ItemResult(item, kept.outcome, None, kept.known.id)
        return again(item, "The picture was moved or deleted meanwhile.")


def _noted(one: Prepared, result: ItemResult) -> ItemResult:
    return replace(result, reason=result.reason or one.note)
