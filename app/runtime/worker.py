"""The queue's worker: procrastinate's tasks, on a thread of the server or in a process of its own.

A worker notes three times a lease that it is alive. Whoever is alive takes up again what belongs to
workers that have been silent for a lease, and the jobs that have lost their tasks.
"""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import procrastinate
from procrastinate.jobs import Job as Task
from sqlalchemy import make_url

from app.catalog.collection_deletion import CollectionDeletion
from app.database.connections import Sessions
from app.errors import CollectionNotFound, Interrupted, JobNotFound, ModelUnavailable
from app.feedback import evaluation, rated_queries, ratings
from app.ingest import job_control, jobs
from app.runtime.collection_registry import CollectionRegistry, OpenCollection

log = logging.getLogger(__name__)

CONCURRENCY = 3  # batches at once: one is decoded, one encoded, one written
POLL_SECONDS = 2.0  # between looks at the queue, should a notification get lost
STOP_SECONDS = 8.0  # how long a stop waits for tasks under way; others take them up then
RESTART_SECONDS = 1.0  # before a worker that lost its database tries again
TRIAL_LOOK_SECONDS = 60.0  # between looks whether a trial of judgements is due
LOOK_SECONDS = 0.1  # between looks whether to stop
RETRY_SECONDS = 5  # before a task is run again that failed for a while only
WAITS = ((Interrupted, 0), (ModelUnavailable, 60))  # seconds, where the error tells more
ADRIFT_LEASES = 2  # a job without tasks has lost them after so many leases


@dataclass
class Worker:
    """Runs tasks from `queues` until it is stopped; `url` is the database's.

    `interrupt` is set for whatever is under way once it stops.
    """

    url: str
    sessions: Sessions
    registry: CollectionRegistry
    collection_deletion: CollectionDeletion
    queues: Sequence[str]
    lease_seconds: float
    interrupt: threading.Event
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _failed: dict[int, datetime] = field(default_factory=dict, init=False)  # nights of trials

    def run(self) -> None:
        """Work until `stop`, through restarts of the database."""
        while not self._stopping.is_set():
            try:
                asyncio.run(self._serve())
            except Exception as error:  # whatever a lost database raises
                if not self._stopping.is_set():
                    log.warning("the queue's worker starts again", exc_info=error)
                    self._stopping.wait(RESTART_SECONDS)

    def stop(self) -> None:
        """Begin no task any more; those under way end soon or are given back."""
        self._stopping.set()
        self.interrupt.set()

    async def _serve(self) -> None:
        """Work until `stop` or an error, which is raised."""
        url = make_url(self.url).set(drivername="postgresql")
        connector = procrastinate.PsycopgConnector(
            conninfo=url.render_as_string(hide_password=False), max_size=CONCURRENCY + 3
        )
        app = procrastinate.App(connector=connector)
        self._register(app)
        async with app.open_async():
            ways_to_end = [
                asyncio.create_task(self._work(app)),
                asyncio.create_task(self._look_after_queue()),
                asyncio.create_task(self._hold_trials()),
                asyncio.create_task(self._until_stopped()),
            ]
            ended, others = await asyncio.wait(ways_to_end, return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for task in ended:
                task.result()

    async def _work(self, app: procrastinate.App) -> None:
        await app.run_worker_async(
            queues=list(self.queues),
            name=self.name,
            concurrency=CONCURRENCY,
            fetch_job_polling_interval=POLL_SECONDS,
            shutdown_graceful_timeout=STOP_SECONDS,
            install_signal_handlers=False,
            delete_jobs="always",  # what a person wants to know is in our own tables
            update_heartbeat_interval=self.lease_seconds / 3,
            stalled_worker_timeout=self.lease_seconds,
        )

    async def _until_stopped(self) -> None:
        while not self._stopping.is_set():  # set by another thread
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_after_queue(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.look_after_queue)
            except Exception:  # the work itself goes on
                log.exception("looking after the queue failed")
            await asyncio.sleep(self.lease_seconds / 3)

    async def _hold_trials(self) -> None:
        while True:
            await asyncio.sleep(TRIAL_LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.hold_trials)
            except Interrupted:
                return
            except Exception:  # the work itself goes on; the next look tries again
                log.exception("trying judgements failed")

    def hold_trials(self) -> None:
        """Once a night, switch what judgements do on or off, as their trial says.

        Raises Interrupted.
        """
        with self.sessions.begin() as session:
            night = evaluation.last_night(rated_queries.now(session))
            due = ratings.collections_to_try(session, night)
        for collection_id in due:
            if self._failed.get(collection_id) == night:
                continue
            try:
                self.registry.open_id(collection_id).evaluation.hold()
            except Interrupted:
                raise
            except Exception:  # the other collections have theirs
                log.exception("trying the judgements of collection %s failed", collection_id)
                self._failed[collection_id] = night

    def look_after_queue(self) -> None:
        """Take up what dead workers and lost tasks left undone; forget old jobs."""
        with self.sessions.begin() as session:
            jobs.rescue(session, self.lease_seconds)
        lister = self.registry.default.source_lister
        with self.sessions.begin() as session:
            for job in jobs.adrift(session, ADRIFT_LEASES * self.lease_seconds):
                log.warning("job %s had lost its tasks: it goes on", job.id)
                job_control.resume(session, job, lister.batch_size)
            staged = jobs.purge(session)
        lister.remove_staged(staged)
        self.collection_deletion.finish()

    def _register(self, app: procrastinate.App) -> None:
        retry = _Retry()

        @app.task(name=jobs.LIST, retry=retry, pass_context=True)
        def list_source(context: procrastinate.JobContext, job_id: int) -> None:
            attempt = context.job.attempts + 1
            self._do(job_id, lambda opened: opened.source_lister.list_source(job_id, attempt))

        @app.task(name=jobs.INGEST, retry=retry)
        def ingest(job_id: int, item_ids: list[int]) -> None:
            self._do(
                job_id, lambda opened: opened.batch_indexer.run_batch(job_id, item_ids, self.name)
            )

        @app.task(name=jobs.FINISH, retry=retry, pass_context=True)
        def finish(context: procrastinate.JobContext, job_id: int) -> None:
            attempt = context.job.attempts + 1
            self._do(job_id, lambda opened: opened.source_lister.finish(job_id, attempt))

    def _do(self, job_id: int, work: Callable[[OpenCollection], None]) -> None:
        """Work in the job's collection. What fails once both are deleted has not failed."""
        opened = self._opened(job_id)
        if opened is None:
            return
        try:
            work(opened)
        except Exception:
            if self._opened(job_id):
                raise
        finally:
            self.collection_deletion.finish_pending(opened.collection)

    def _opened(self, job_id: int) -> OpenCollection | None:
        """The job's collection; None where job or collection were deleted."""
        try:
            return self.registry.of_job(job_id)
        except (JobNotFound, CollectionNotFound):
            return None
        except ModelUnavailable as error:
            log.warning("job %s waits: %s", job_id, error)
            raise


class _Retry(procrastinate.BaseRetryStrategy):
    """Every task that did not end is run again: when it has failed for good it knows itself."""

    def get_retry_decision(
        self, *, exception: BaseException, job: Task
    ) -> procrastinate.RetryDecision:
        wait = next(
            (seconds for kind, seconds in WAITS if isinstance(exception, kind)), RETRY_SECONDS
        )
        return procrastinate.RetryDecision(retry_in={"seconds": wait})
