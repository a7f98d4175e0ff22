"""The first and last task of a job: listing its source, and removing what the source lacks.

A source is listed in chunks; each is one transaction of items, tasks and checkpoint, so that a
killed listing resumes where it was. Pictures missing from the listing are noted; `removals.py`
decides on them once the source was listed completely and every file was read, since a file may
have moved.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from app.catalog.file_descriptions import taken_record
from app.catalog.filters.declared_values import file_fields
from app.catalog.images.image_removal import delete_marked
from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.errors import (
    OWN_FAULT,
    ArchiveRejected,
    EntryRefused,
    ImageSearchError,
    Interrupted,
    SourceUnreadable,
    StorageUnwritable,
    own_fault,
)
from app.index import graph_health, vector_indexes
from app.index.graph_rebuild import build_graph
from app.ingest.archive_parts import ArchiveParts
from app.ingest.jobs import job_items, jobs
from app.ingest.jobs.job_items import ListedFile, NewItem
from app.ingest.jobs.jobs import Job
from app.ingest.removals import Removals
from app.ingest.source_diff import SourceDiff, chunks
from app.sources.archives import archives
from app.sources.archives.archive_members import ArchiveEntry, RefusedEntry
from app.sources.archives.archives import MAX_SHOWN_CHARACTERS
from app.sources.archives.decompression import ArchiveLimits
from app.sources.sidecars.annotations import Annotation
from app.sources.sidecars.sidecar_reading import STRAY, NamePlace
from app.sources.sidecars.takeout import with_album
from app.sources.source_access import Sources
from app.storage.disk import Stores

log = logging.getLogger(__name__)

MAX_STAGED_BYTES = 2_000_000_000  # of one archive's files that wait to be indexed
STAGING_POLL_SECONDS = 0.2  # between looks whether there is room again
STAGING_PATIENCE_SECONDS = 10.0  # without a file indexed, before others get this task's place
SHOWN_ROWS = 5  # of a table, that name no file
MAX_ATTEMPTS = 20  # of listing or finishing, including those whose worker died; then the job fails


@dataclass(frozen=True)
class SourceLister:
    """Runs the first and last task of jobs, on the calling thread.

    `measure` is called whenever pictures may have been added or removed.
    """

    sessions: Sessions
    index: VectorIndex
    sources: Sources
    stores: Stores
    archive_limits: ArchiveLimits
    refusal_rules: str
    batch_size: int
    stop: threading.Event
    measure: Callable[[], None]
    keep_gps: bool
    name_place: NamePlace | None = None

    def list_source(self, job_id: int, attempt: int) -> None:
        """List the job's source and write the tasks for its files.

        `attempt` counts from 1; until the last, errors that say nothing about the source are
        raised, so that the task is retried.
        """
        with self.sessions.begin() as session:
            job = jobs.start(session, job_id)
        if job.listed:
            return
        try:
            self._list(job)
        except SourceUnreadable as error:
            self._give_up(job, error)
        except ArchiveRejected as error:
            self._give_up(job, error)
            self.remove_staged([job.source.get("staged")])
        except Interrupted:
            raise
        except StorageUnwritable as error:  # however long: it goes on once there is room
            with self.sessions.begin() as session:
                jobs.note_waiting(session, job_id, error)
            raise
        except Exception as error:
            if attempt < MAX_ATTEMPTS:
                raise
            log.exception("listing the source of job %s failed for good", job_id)
            self._give_up(job, error)

    def _list(self, job: Job) -> None:
        if not job.dry_run:
            with self.sessions.begin() as session:
                vector_indexes.drop_hnsw_if_empty(session, self.index)
        if source := self.sources.open(job.source):
            SourceDiff(self.sessions, self.add, job, source, self.refusal_rules).run()
        else:
            self._list_archive(job)

    def _give_up(self, job: Job, error: Exception) -> None:
        with self.sessions.begin() as session:
            jobs.give_up_listing(session, job, *_reason(error))

    def add(self, job: Job, listed: ListedFile) -> bool:
        """Write a chunk; False if the listing is to stop. Raises Interrupted."""
        self._check_stop()
        with self.sessions() as session:
            running = job_items.add_listed(session, job, listed, self.batch_size)
            if running:  # else the closing session rolls back
                session.commit()
        return running

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Interrupted("The worker stops.")

    def _list_archive(self, job: Job) -> None:
        """Stage the entries one by one; the checkpoint is the last one's part and index."""
        parts = self._parts(job)
        limits, rules = parts.limits, (self.sources.ignored,)
        with self.sessions.begin() as session:
            fields = file_fields(session, job.collection_id)
        told = archives.joined_annotations(
            parts.paths,
            limits,
            *rules,
            keep_gps=self.keep_gps,
            name_place=self.name_place,
            fields=fields,
        )
        sent = Annotation(job.source.get("caption"), job.source.get("metadata") or {})
        mark = job.checkpoint
        entries = self._staged(parts.entries(mark, *rules), told, sent)
        for chunk in chunks(entries, self.batch_size):
            items = [item for _, item in chunk]
            checkpoint = chunk[-1][0]
            listed = ListedFile(mark, items, 0, checkpoint, priority=parts.priority)
            if not self._added(job, listed):
                return
            mark = checkpoint
            self._wait_for_room(job)
        unmatched = [_unmatched(table, rows) for table, rows in told.unmatched.items()]
        unmatched += [NewItem(name, reason=STRAY) for name in told.strays]
        self.add(job, ListedFile(mark, unmatched, whole=True, companions=len(told.clips)))

    def _wait_for_room(self, job: Job) -> None:
        """Wait while MAX_STAGED_BYTES of the job's files are to be indexed.

        Raises StorageUnwritable, so that the task is retried, if none of them is for a while:
        there are few places for tasks, and those that index need one. Raises Interrupted.
        """
        least, since = self._staged_bytes(job), time.monotonic()
        while (staged := self._staged_bytes(job)) > MAX_STAGED_BYTES:
            if staged < least:
                least, since = staged, time.monotonic()
            elif time.monotonic() - since > STAGING_PATIENCE_SECONDS:
                raise StorageUnwritable(
                    f"{staged / 1e9:.1f} GB of this archive wait to be indexed; the rest is "
                    "unpacked when some of these are done."
                )
            self._check_stop()
            self.stop.wait(STAGING_POLL_SECONDS)

    def _staged_bytes(self, job: Job) -> int:
        with self.sessions.begin() as session:
            return job_items.staged_bytes(session, job.id)

    def _parts(self, job: Job) -> ArchiveParts:
        if "archives" in job.source:  # of the operator's own
            return ArchiveParts.of_import(map(Path, job.source["archives"]), self.archive_limits)
        archive = self.stores.incoming.path(job.source["staged"])
        if not archive.exists():
            raise ArchiveRejected("The archive was refused and deleted: send another one.")
        return ArchiveParts([archive], self.archive_limits)

    def _added(self, job: Job, listed: ListedFile) -> bool:
        """As `add`; deletes the staged files again if nothing was written."""
        added = False
        try:
            added = self.add(job, listed)
        finally:
            if not added:
                self.remove_staged(item.staged for item in listed.items)
        return added

    def remove_staged(self, names: Iterable[str | None]) -> None:
        """Delete staged files that are no longer needed."""
        for name in filter(None, names):
            self.stores.incoming.remove(name)

    def _staged(
        self,
        entries: Iterator[tuple[str, ArchiveEntry | RefusedEntry]],
        told: archives.Annotations,
        sent: Annotation,
    ) -> Iterator[tuple[str, NewItem]]:
        for position, entry in entries:
            if not isinstance(entry, ArchiveEntry):
                yield position, NewItem(entry.name, reason=entry.reason, code=EntryRefused.code)
                continue
            if entry.name in told.clips:
                continue
            name = uuid4().hex
            self.stores.incoming.put(name, entry.data)
            found = told.by_name.get(entry.name, Annotation()).over(sent)
            annotation = with_album(found, Annotation())
            yield (
                position,
                NewItem(
                    entry.name,
                    bytes=len(entry.data),
                    staged=name,
                    caption=annotation.caption,
                    metadata=annotation.metadata,
                    taken=taken_record(annotation.taken) if annotation.taken else None,
                    derived_place=annotation.derived_place or None,
                    note=told.notes.get(entry.name),
                ),
            )

    def finish(self, job_id: int, attempt: int) -> None:
        """Remove what is gone, build the graph, close the job; `attempt` as for the listing."""
        with self.sessions.begin() as session:
            job = jobs.get(session, job_id)
        if job.finished_at is not None:
            return
        try:
            reason, code = self._conclude(job), job.code
        except Interrupted:
            raise
        except Exception as error:
            if attempt < MAX_ATTEMPTS:
                raise
            log.exception("job %s could not be finished", job_id)
            reason, code = (job.reason, job.code) if job.reason else _reason(error)
        with self.sessions.begin() as session:
            jobs.close(session, jobs.get(session, job_id), reason, code)

    def _conclude(self, job: Job) -> str | None:
        """Everything but the closing; returns why the job has failed, if it has."""
        reason = job.reason
        if job.state == "running" and reason is None:
            reason = Removals(self.sessions, self.sources, job, self._check_stop).settle()
        delete_marked(self.sessions, self.stores)
        with self.sessions.begin() as session:
            if job.reason is None:  # else a retry may resume the listing
                job_items.dismiss_removals(session, job.id)
            cancelled = job_items.staged_of_cancelled(session, job.id)
        self.remove_staged(cancelled)
        if job.reason is None:
            self.remove_staged([job.source.get("staged")])
        if not job.dry_run:
            build_graph(self.sessions, self.index)
            graph_health.maintain(self.sessions, self.index)
            self.measure()
        return reason


def _unmatched(table: str, names: list[str]) -> NewItem:
    """The rows of a table that name no file, as a file of the job's that has failed."""
    named = ", ".join(repr(name[:MAX_SHOWN_CHARACTERS]) for name in names[:SHOWN_ROWS])
    more = f" and {len(names) - SHOWN_ROWS} more" if len(names) > SHOWN_ROWS else ""
    return NewItem(table, reason=f"Rows that name no file of the archive: {named}{more}.")


def _reason(error: Exception) -> tuple[str, str | None]:
    """An error as a job's reason, and its code."""
    if isinstance(error, ImageSearchError):
        return str(error), error.code
    return own_fault(error), OWN_FAULT
