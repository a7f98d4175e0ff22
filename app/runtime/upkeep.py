"""What a worker keeps in order besides its tasks: the queue, graphs, and the effect of feedback.

Other threads may do the same at the same time.
"""

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from app.access import idempotency_keys
from app.catalog.collection_deletion import CollectionDeletion
from app.catalog.images.image_removal import delete_marked
from app.database.connections import Sessions
from app.errors import IndexGone, Interrupted
from app.feedback import evaluation, rated_queries
from app.index import graph_health, vector_indexes
from app.index.categories import category_graphs, category_rows
from app.ingest.jobs import job_control, jobs
from app.runtime.collection_registry import CollectionRegistry

log = logging.getLogger(__name__)

ORPHAN_LEASES = 2  # a job without tasks for this many leases has lost them


@dataclass
class Upkeep:
    """Looks what is to be done, and does it on the calling thread; `stop` ends that early.

    A lease, in seconds, is how long a worker is taken to live without a heartbeat.
    """

    sessions: Sessions
    registry: CollectionRegistry
    collection_deletion: CollectionDeletion
    lease_seconds: float
    stop: threading.Event
    _failed: dict[int, datetime] = field(default_factory=dict, init=False)
    """The last night whose evaluation failed, by collection id."""
    _checked: dict[int, int] = field(default_factory=dict, init=False)
    """The vectors at the last check of the graph, by index id."""

    def evaluate_feedback(self) -> None:
        """Once a night, evaluate each collection's feedback and switch its effect on or off.

        Raises Interrupted.
        """
        with self.sessions.begin() as session:
            night = evaluation.last_night(rated_queries.now(session))
            due = rated_queries.collections_due_for_evaluation(session, night)
        for collection_id in due:
            if self._failed.get(collection_id) == night:
                continue
            try:
                self.registry.open_id(collection_id).evaluation.run()
            except Interrupted:
                raise
            except Exception:  # the other collections are still evaluated
                log.exception("evaluating the feedback of collection %s failed", collection_id)
                self._failed[collection_id] = night

    def maintain_graphs(self) -> None:
        """Rebuild graphs that lose pictures since uploads or deletions.

        Not while a job is open: its end does the same. An index that has as many vectors as at its
        last check is passed over.
        """
        with self.sessions.begin() as session:
            if jobs.any_open(session):
                return
        for known in self.registry.every():
            with self.sessions.begin() as session:
                vectors = vector_indexes.count_vectors(session, known.index)
            if self.stop.is_set():
                return
            if self._checked.get(known.index.id) == vectors:
                continue
            try:
                graph_health.maintain(self.sessions, known.index)
            except IndexGone:
                continue
            self._checked[known.index.id] = vectors

    def maintain_categories(self) -> None:
        """Build and drop the graphs of labels that are searched within.

        None is built while a job is open, which may tell labels.
        """
        with self.sessions.begin() as session:
            may_build = not jobs.any_open(session)
            concerned = category_rows.concerned(session)
        category_graphs.drop_unused(self.sessions)
        for known in self.registry.every() if concerned else ():
            if self.stop.is_set():
                return
            if known.collection.id in concerned:
                with suppress(IndexGone):
                    category_graphs.maintain(self.sessions, known.index, may_build=may_build)

    def maintain_queue(self) -> None:
        """Requeue the work of dead workers and of jobs without tasks; delete what has expired."""
        with self.sessions.begin() as session:
            job_control.rescue(session, self.lease_seconds)
        lister = self.registry.default.source_lister
        with self.sessions.begin() as session:
            for job in job_control.without_tasks(session, ORPHAN_LEASES * self.lease_seconds):
                log.warning("job %s had lost its tasks: they are queued again", job.id)
                job_control.resume(session, job, lister.batch_size)
            staged = job_control.purge(session)
            idempotency_keys.purge(session)
        lister.remove_staged(staged)
        delete_marked(self.sessions, lister.stores)
        self.collection_deletion.finish()
