"""The queue's worker: runs procrastinate's tasks, in a server thread or a process of its own.

Each worker writes a heartbeat three times per lease. Live workers take over the tasks of workers
whose heartbeat is older than a lease, and requeue jobs that have lost their tasks.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import cast

import procrastinate
from sqlalchemy import make_url

from app.catalog.collection_deletion import CollectionDeletion
from app.database.connections import Sessions, connection_options
from app.database.outages import OUTAGES, is_lost
from app.errors import (
    CollectionNotFound,
    JobNotFound,
    ModelUnavailable,
    StorageUnwritable,
)
from app.ingest.jobs import job_control, jobs, task_queue
from app.ingest.jobs.job_log import LOOK_SECONDS, JobLog
from app.ingest.webhooks.delivery import Attempt, Subject, Webhooks
from app.ingest.webhooks.messages import WebhookMessage
from app.runtime.annotating.annotation_work import AnnotationWork
from app.runtime.annotating.annotators import Annotators
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.evaluation.evaluation_work import EvaluationWork
from app.runtime.graph_tuning import GraphTuning
from app.runtime.known_collections import KnownCollection
from app.runtime.labelling.label_sets import LabelSets
from app.runtime.labelling.label_work import LabelWork
from app.runtime.reindexing.reindex_work import ReindexWork
from app.runtime.standing.standing_work import StandingWork
from app.runtime.task_retry import TaskRetry
from app.runtime.upkeep import Upkeep
from app.runtime.worker_loops import quiet_libraries, repeat, until_disconnected

log = logging.getLogger(__name__)

CONCURRENCY = 3  # batches at a time: one decoding, one encoding, one being written
LONG_CONCURRENCY = 2  # annotators at work at a time, besides those
WEBHOOK_CONCURRENCY = 2  # deliveries at a time, besides those
POLL_SECONDS = 2.0  # between polls of the queue, in case a notification is lost
STOP_SECONDS = 6.0  # how long a stop waits for running tasks; other workers take over the rest
RESTART_SECONDS = 1.0  # before a worker that lost the database reconnects
EVALUATION_POLL_SECONDS = 60.0  # between checks whether an evaluation of feedback is due
GRAPH_POLL_SECONDS = 600.0  # between checks of the graphs of indexes that have changed
TUNING_POLL_SECONDS = 60.0  # between looks for graphs to tune: each counts vectors
LABEL_POLL_SECONDS = 60.0  # between looks for pictures without labels: each reads the whole index
CATEGORY_POLL_SECONDS = 60.0  # between counts of the labels that may have graphs
ANNOTATION_POLL_SECONDS = 2.0  # between looks for pictures that were added; an index has these
STANDING_POLL_SECONDS = 1.0  # between looks for pictures that standing searches do not know
STANDING_PURGE_SECONDS = 600.0  # between deletions of their old matches
GENERATION_POLL_SECONDS = 1.0  # between looks at what generations lack
STOP_POLL_SECONDS = 0.1  # between checks whether to stop

WorkWithoutSource = ReindexWork | EvaluationWork | LabelWork | AnnotationWork


@dataclass
class Worker:
    """Runs tasks from `queues` until it is stopped; `url` is the database's.

    `interrupt` is set on stop and tells running work to end early.
    """

    url: str
    sessions: Sessions
    registry: CollectionRegistry
    collection_deletion: CollectionDeletion
    reindex_work: ReindexWork
    evaluation_work: EvaluationWork
    label_work: LabelWork
    label_sets: LabelSets
    annotation_work: AnnotationWork
    annotators: Annotators
    standing_work: StandingWork
    upkeep: Upkeep
    graph_tuning: GraphTuning
    webhooks: Webhooks
    queues: Sequence[str]
    lease_seconds: float
    interrupt: threading.Event
    name: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    _stop_by: float = field(default=0.0, init=False)  # a reading of the monotonic clock
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _job_log: JobLog = field(init=False)

    def __post_init__(self) -> None:
        self._job_log = JobLog(self.sessions)

    def run(self) -> None:
        """Work until `stop`, reconnecting after the database was lost."""
        quiet_libraries()
        while not self._stopping.is_set():
            try:
                asyncio.run(self._serve())
            except Exception as error:  # many types: whatever a lost connection raises
                if not self._stopping.is_set():
                    if is_lost(error):
                        OUTAGES.note(error)
                    else:
                        log.warning("worker restarts: %s", error, exc_info=error)
                    self._stopping.wait(RESTART_SECONDS)

    def stop(self) -> None:
        """Start no further tasks; running ones end soon or are returned to the queue."""
        if not self._stopping.is_set():
            self._stop_by = time.monotonic() + STOP_SECONDS
        self._stopping.set()
        self.interrupt.set()

    def seconds_to_stop(self) -> float:
        """How long the worker may still take to end, once `stop` was called."""
        return max(0.0, self._stop_by - time.monotonic())

    async def _serve(self) -> None:
        """Work until `stop`. Raises the first error of its loops."""
        url = make_url(self.url).set(drivername="postgresql")
        conninfo = url.render_as_string(hide_password=False)
        options = connection_options(url)
        connector = procrastinate.PsycopgConnector(
            conninfo=conninfo,
            max_size=CONCURRENCY + LONG_CONCURRENCY + WEBHOOK_CONCURRENCY + 7,
            kwargs=options,
        )
        app = procrastinate.App(connector=connector)
        self._register(app)
        long_queues = [f"{queue}{task_queue.LONG}" for queue in self.queues]
        async with app.open_async():
            loops = [
                asyncio.create_task(self._work(app, self.queues, CONCURRENCY)),
                asyncio.create_task(self._work(app, long_queues, LONG_CONCURRENCY)),
                asyncio.create_task(self._work(app, [task_queue.WEBHOOKS], WEBHOOK_CONCURRENCY)),
                *map(asyncio.create_task, self._repeated()),
                asyncio.create_task(self._until_stopped()),
                asyncio.create_task(until_disconnected(conninfo, options)),
            ]
            ended, others = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for task in ended:
                task.result()

    def _repeated(self) -> list[Coroutine[None, None, None]]:
        """What is done besides the tasks of the queue."""
        return [
            repeat(
                self.upkeep.maintain_queue,
                self.lease_seconds / 3,
                "queue maintenance failed",
                at_once=True,
            ),
            repeat(self._job_log.look, LOOK_SECONDS, "looking at the jobs failed", at_once=True),
            repeat(
                self.upkeep.evaluate_feedback, EVALUATION_POLL_SECONDS, "evaluating feedback failed"
            ),
            repeat(self.upkeep.maintain_graphs, GRAPH_POLL_SECONDS, "checking the graphs failed"),
            repeat(self.graph_tuning.tune_graphs, TUNING_POLL_SECONDS, "tuning the graphs failed"),
            repeat(self.label_sets.keep_current, LABEL_POLL_SECONDS, "looking for labels failed"),
            repeat(
                self.upkeep.maintain_categories,
                CATEGORY_POLL_SECONDS,
                "the graphs of categories failed",
            ),
            repeat(
                self.annotators.keep_current,
                LABEL_POLL_SECONDS,
                "looking for stale annotations failed",
            ),
            repeat(self._annotate_new, ANNOTATION_POLL_SECONDS, "looking for new pictures failed"),
            repeat(
                self.standing_work.tell_of_new,
                STANDING_POLL_SECONDS,
                "comparing new pictures with standing searches failed",
            ),
            repeat(self.standing_work.purge, STANDING_PURGE_SECONDS, "deleting old matches failed"),
            repeat(
                self.reindex_work.keep_complete,
                GENERATION_POLL_SECONDS,
                "keeping generations complete failed",
            ),
        ]

    def _annotate_new(self) -> None:
        self.annotators.look_at_new()
        self.annotation_work.close_if_idle()

    async def _work(self, app: procrastinate.App, queues: Sequence[str], concurrency: int) -> None:
        await app.run_worker_async(
            queues=list(queues),
            name=self.name,
            concurrency=concurrency,
            fetch_job_polling_interval=POLL_SECONDS,
            shutdown_graceful_timeout=STOP_SECONDS,
            install_signal_handlers=False,
            delete_jobs="always",  # what people ask about is in our own tables
            update_heartbeat_interval=self.lease_seconds / 3,
            stalled_worker_timeout=self.lease_seconds,
        )

    async def _until_stopped(self) -> None:
        while not self._stopping.is_set():  # set by another thread
            await asyncio.sleep(STOP_POLL_SECONDS)

    def _register(self, app: procrastinate.App) -> None:
        retry = TaskRetry()

        @app.task(name=task_queue.LIST, retry=retry, pass_context=True)
        def list_source(context: procrastinate.JobContext, job_id: int) -> None:
            attempt = context.job.attempts + 1
            self._do(job_id, lambda known: self._lists(known, job_id, attempt))

        @app.task(name=task_queue.INGEST, retry=retry)
        def ingest(job_id: int, item_ids: list[int]) -> None:
            self._do(
                job_id,
                lambda known: self.registry.open_known(known).batch_indexer.run_batch(
                    job_id, item_ids, self.name
                ),
            )

        @app.task(name=task_queue.FINISH, retry=retry, pass_context=True)
        def finish(context: procrastinate.JobContext, job_id: int) -> None:
            attempt = context.job.attempts + 1
            self._do(job_id, lambda known: self._finishes(known, job_id, attempt))

        @app.task(name=task_queue.WEBHOOK, retry=retry)
        def deliver(url: str, id: str, body: str, attempt: int, **subject: int) -> None:  # noqa: A002
            message = WebhookMessage(id, body)
            ((kind, subject_id),) = subject.items()
            self.webhooks.deliver(Attempt(cast(Subject, kind), subject_id, url, message, attempt))

    def _lists(self, known: KnownCollection, job_id: int, attempt: int) -> None:
        """Jobs without a source do all but the end in their first task."""
        if work := self._work_without_source(job_id):
            work.run(job_id, attempt)
        else:
            self.registry.open_known(known).source_lister.list_source(job_id, attempt)

    def _finishes(self, known: KnownCollection, job_id: int, attempt: int) -> None:
        work = self._work_without_source(job_id)
        (work or self.registry.open_known(known).source_lister).finish(job_id, attempt)

    def _work_without_source(self, job_id: int) -> WorkWithoutSource | None:
        with self.sessions.begin() as session:
            job = jobs.get(session, job_id)
        if job_control.is_reindexing(job):
            return self.reindex_work
        if job_control.is_labelling(job):
            return self.label_work
        if job_control.is_annotating(job):
            return self.annotation_work
        return self.evaluation_work if job_control.is_evaluation(job) else None

    def _do(self, job_id: int, work: Callable[[KnownCollection], None]) -> None:
        """Run `work` in the job's collection; failures after a deletion of either are ignored."""
        known = self._known(job_id)
        if known is None:
            return
        try:
            work(known)
        except (ModelUnavailable, StorageUnwritable) as error:
            log.warning("job %s waits: %s", job_id, error)
            raise
        except Exception:
            if self._known(job_id):
                raise
        finally:
            self.collection_deletion.finish_pending(known.collection)

    def _known(self, job_id: int) -> KnownCollection | None:
        """The job's collection; None if the job or the collection was deleted."""
        try:
            return self.registry.known_of_job(job_id)
        except (JobNotFound, CollectionNotFound):
            return None
