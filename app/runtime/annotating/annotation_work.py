"""A worker's part of annotating: one task looks at all pictures that an annotator has not.

Each picture is a transaction of its own: a killed worker's task goes on with what is left. A
picture that cannot be read is noted as such, and no other waits for it.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.catalog.stored_originals import StoredOriginals
from app.database.connections import Sessions
from app.errors import (
    AnnotatorUnavailable,
    Busy,
    ImageSearchError,
    IndexGone,
    Interrupted,
    ModelUnavailable,
    own_fault,
)
from app.index import missing_vectors
from app.index.missing_vectors import MissingPicture
from app.ingest.jobs import job_steps, jobs
from app.ingest.jobs.job_control import ANNOTATING
from app.ingest.jobs.jobs import Job
from app.runtime import single_task_jobs
from app.runtime.annotating.annotator import CAPTION, Annotator, Found, Look
from app.runtime.annotating.caption_vectors import CaptionVectors
from app.understanding.annotators import annotation_rows, annotator_rows
from app.understanding.annotators.annotator_rows import TurnedOn

log = logging.getLogger(__name__)

PAGE = 1_000  # ids looked up at a time


@dataclass(frozen=True)
class AnnotationWork:
    """Runs the tasks of annotating, on the calling thread; `stop` interrupts."""

    sessions: Sessions
    originals: StoredOriginals
    annotators: Mapping[str, Annotator]
    caption_vectors: CaptionVectors
    stop: threading.Event

    def run(self, job_id: int, attempt: int) -> None:
        """Look at what is to be looked at and close the job; `attempt` counts from 1.

        Raises as `single_task_jobs.run`.
        """
        single_task_jobs.run(self.sessions, job_id, attempt, self._work)

    def finish(self, job_id: int, attempt: int) -> None:
        """Close a job that was cancelled; all attempts are alike."""
        single_task_jobs.finish(self.sessions, job_id)

    def close_if_idle(self) -> None:
        """Free the memory of annotators that have had nothing to do for a while."""
        for annotator in self.annotators.values():
            annotator.close_if_idle()
        self.caption_vectors.close_if_idle()

    def _work(self, job: Job) -> None:
        """Pictures that come meanwhile are looked at too, or get the next job.

        Then captions without a vector get one. Raises AnnotatorUnavailable, Interrupted,
        ModelUnavailable.
        """
        turned_on = TurnedOn(job.collection_id, job.source[ANNOTATING], job.id)
        with self.sessions.begin() as session:
            look = self._look(session, turned_on)
            total = annotation_rows.count_to_look_at(session, turned_on, look.version)
            job_steps.begin(session, job.id, total)
        after = 0
        while ids := self._next(turned_on, look, after):
            self._look_at_all(job, turned_on, look, ids)
            after = ids[-1]
            with self.sessions.begin() as session:
                look = self._look(session, turned_on)  # another generation may be active now
        if turned_on.annotator == CAPTION:
            self.caption_vectors.fill(job)
        with self.sessions.begin() as session:
            annotator_rows.lock(session, turned_on)
            job_steps.end(session, job.id)
            jobs.close(session, jobs.get(session, job.id))

    def _look(self, session: Session, turned_on: TurnedOn) -> Look:
        return self.annotators[turned_on.annotator].look(session, turned_on)

    def _next(self, turned_on: TurnedOn, look: Look, after: int) -> list[int]:
        with self.sessions.begin() as session:
            return annotation_rows.to_look_at(session, turned_on, look.version, after, PAGE)

    def _look_at_all(self, job: Job, turned_on: TurnedOn, look: Look, ids: list[int]) -> None:
        """Raises Interrupted."""
        try:
            with self.sessions.begin() as session:
                known = look.adopted(session, ids)
                if known:
                    job_steps.count(session, job.id, len(known))
                left = [one for one in ids if one not in known]
                pictures = missing_vectors.pictures(session, left) if left else []
            for picture in pictures:
                self._look_at(job, turned_on, look, picture)
        except IndexGone as error:  # the next attempt looks for the one that is active then
            raise Interrupted(str(error)) from error

    def _look_at(self, job: Job, turned_on: TurnedOn, look: Look, picture: MissingPicture) -> None:
        """Raises IndexGone, Interrupted, ModelUnavailable."""
        if self.stop.is_set():
            raise Interrupted("The worker stops.")
        found = self._found(look, picture)
        with self.sessions.begin() as session:
            if annotator_rows.is_on(session, turned_on):  # locked before the picture, as elsewhere
                _write(session, turned_on, look.version, picture, found)
            job_steps.count(session, job.id, 1, failed=found.outcome == "failed")

    def _found(self, look: Look, picture: MissingPicture) -> Found:
        """Raises AnnotatorUnavailable, ModelUnavailable, Interrupted (also to wait for memory)."""
        try:
            return look.at(picture, self.originals.first_page(picture, is_background=True))
        except (AnnotatorUnavailable, Interrupted, ModelUnavailable):
            raise
        except Busy as error:
            raise Interrupted(str(error)) from error
        except ImageSearchError as error:
            return look.failed(picture, str(error))
        except Exception as error:
            log.exception("picture %s cannot be read", picture.id)
            return look.failed(picture, own_fault(error))


def _write(
    session: Session,
    turned_on: TurnedOn,
    version: str,
    picture: MissingPicture,
    found: Found,
) -> None:
    """Write what was found, unless the picture has changed or gone meanwhile."""
    name, content_hash = turned_on.annotator, picture.content_hash
    if annotation_rows.lock_unchanged(session, turned_on, picture.id, content_hash):
        noted = (version, content_hash, found.outcome, found.reason)
        annotation_rows.note(session, picture.id, name, *noted)
        found.write(session)
