"""The requests about annotators, and the jobs that look at pictures for them.

Those that embed regions are chosen by themselves: a collection has one of them at most.

Turning an annotator on has a job look at all pictures of the collection. Those that come later are
marked as waiting where they are written, and a job looks at them within seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.database.tables import REGION_ANNOTATORS, Regions
from app.errors import AnnotatorUnavailable, CollectionNotFound, CollectionRejected, IndexGone
from app.index import generations, regions
from app.ingest.jobs import job_control, jobs
from app.ingest.jobs.job_control import ANNOTATING
from app.ingest.jobs.jobs import NewJob
from app.ingest.jobs.task_queue import LONG
from app.runtime.annotating.annotator import (
    CAPTION,
    TEXT,
    Annotator,
    AnnotatorName,
    ChosenAnnotator,
)
from app.runtime.annotating.sentence_choice import SentenceChoice
from app.runtime.known_collections import KnownCollection
from app.understanding.annotators import annotation_rows, annotator_rows
from app.understanding.annotators.annotation_rows import Annotation, Coverage
from app.understanding.annotators.annotator_rows import TurnedOn
from app.understanding.texts import image_text_rows
from app.understanding.texts.text_lines import TextLine

IsDue = Callable[[Session, TurnedOn], bool]


@dataclass(frozen=True)
class CoveredAnnotator:
    """An annotator that is on; what it covers is None where it is not available."""

    turned_on: TurnedOn
    version: str | None
    coverage: Coverage | None


@dataclass(frozen=True)
class Backfill:
    """How many pictures an annotator has to look at, and its job, if one is to do that."""

    pictures: int
    job_id: int | None


@dataclass(frozen=True)
class ImageTexts:
    """The lines read in a picture, and what its annotators did."""

    lines: Sequence[TextLine]
    annotations: Sequence[Annotation]


@dataclass(frozen=True)
class Annotators:
    """Answers requests about annotators. `queue` is of the workers that can read the pictures.

    Their jobs have another queue of these workers, so that nobody's upload waits for them.
    """

    sessions: Sessions
    queue: str
    known: Mapping[str, Annotator]
    sentences: SentenceChoice

    def check(self, names: Sequence[str]) -> None:
        """Raise AnnotatorUnavailable if one of them is not available."""
        for name in names:
            self.known[name].check()

    def choose(self, known: KnownCollection, names: Sequence[ChosenAnnotator]) -> None:
        """Have exactly these on; jobs look at what they have not, or have failed on.

        What others have found goes, and their jobs end; regions stay. Raises AnnotatorUnavailable.
        """
        self._choose_among(get_args(ChosenAnnotator), known, names)

    def choose_regions(self, known: KnownCollection, kind: Regions) -> None:
        """The same for regions. Raises AnnotatorUnavailable."""
        self._choose_among(REGION_ANNOTATORS, known, regions_of(kind))

    def choose_sentence_model(self, known: KnownCollection, name: str | None) -> None:
        """Have captions compared by this sentence model, None: by the model of the index.

        A job embeds those that have no vector by it. `sentences.check` comes before.
        """
        retry_on_lock(
            self.sessions,
            partial(self._choose_sentences, collection_id=known.collection.id, name=name),
        )

    def _choose_sentences(self, session: Session, collection_id: int, name: str | None) -> None:
        self.sentences.write(session, collection_id, name)
        for turned_on in annotator_rows.of_collection(session, collection_id):
            if turned_on.annotator == CAPTION:
                self._submit_if_due(session, annotator_rows.lock(session, turned_on))

    def _choose_among(
        self, among: Sequence[str], known: KnownCollection, names: Sequence[str]
    ) -> None:
        self.check(names)
        write = partial(self._choose, collection_id=known.collection.id, among=among, names=names)
        retry_on_lock(self.sessions, write)

    def _choose(
        self, session: Session, collection_id: int, among: Sequence[str], names: Sequence[str]
    ) -> None:
        for turned_on in annotator_rows.of_collection(session, collection_id):
            locked = annotator_rows.lock(session, turned_on)
            if locked and locked.annotator in among and locked.annotator not in names:
                _turn_off(session, locked)
        for name in names:
            self._look_again(session, annotator_rows.turn_on(session, collection_id, name))

    def _look_again(self, session: Session, turned_on: TurnedOn) -> None:
        """Have a job look at what it has not, or has failed on, unless one does."""
        annotation_rows.retry_failed(session, turned_on)
        self._submit_if_due(session, turned_on)

    def _submit_if_due(self, session: Session, turned_on: TurnedOn | None) -> None:
        if turned_on is None or _is_open(session, turned_on):
            return
        if self._is_any_due(session, turned_on):
            self._submit(session, turned_on)

    def backfill(self, known: KnownCollection, name: AnnotatorName, *, dry_run: bool) -> Backfill:
        """Have a job look at what it has not, or has failed on; a dry run only counts these.

        The annotator need not be on for a dry run. Raises AnnotatorUnavailable, and
        CollectionRejected if it is off.
        """
        self.check([name])
        off = TurnedOn(known.collection.id, name, None)
        if dry_run:
            with self.sessions.begin() as session:
                return Backfill(self._count_due(session, off), None)
        return retry_on_lock(self.sessions, partial(self._backfill, asked=off))

    def _backfill(self, session: Session, asked: TurnedOn) -> Backfill:
        turned_on = annotator_rows.lock(session, asked)
        if turned_on is None:
            raise CollectionRejected(
                f"The annotator {asked.annotator} is off: add it to `annotators` of the collection "
                "or, if it is for regions, name it there."
            )
        pictures = self._count_due(session, turned_on)
        self._look_again(session, turned_on)
        now = annotator_rows.lock(session, turned_on)
        return Backfill(pictures, now.job_id if pictures and now else None)

    def listed(self, known: KnownCollection) -> list[CoveredAnnotator]:
        """Those that a collection has on, by name."""
        with self.sessions.begin() as session:
            found = annotator_rows.of_collection(session, known.collection.id)
            return [self._covered(session, one) for one in found]

    def texts(self, image_id: int) -> ImageTexts:
        """What was read in a picture."""
        with self.sessions.begin() as session:
            lines = image_text_rows.of_image(session, image_id, TEXT)
            return ImageTexts(lines, annotation_rows.of_image(session, image_id))

    def look_at_new(self) -> None:
        """Submit jobs for pictures that were added; cheap. Not where the last job was given up."""
        self._submit_where(annotation_rows.has_waiting)

    def keep_current(self) -> None:
        """The same for whatever is to be looked at, as by a new version of an annotator."""
        self._submit_where(self._is_any_due)

    def _submit_where(self, is_due: IsDue) -> None:
        with self.sessions.begin() as session:
            found = annotator_rows.every(session)
        for turned_on in found:
            again = partial(self._resubmit, turned_on=turned_on, is_due=is_due)
            retry_on_lock(self.sessions, again)

    def _resubmit(self, session: Session, turned_on: TurnedOn, is_due: IsDue) -> None:
        now = annotator_rows.lock(session, turned_on)
        if now is None:
            return
        if now.job_id is not None and jobs.get(session, now.job_id).state != "succeeded":
            return  # it is under way, or somebody cancelled it
        if is_due(session, now):
            self._submit(session, now)

    def _is_any_due(self, session: Session, turned_on: TurnedOn) -> bool:
        """Also whether a generation lacks vectors of captions; never where it is not available."""
        version = self._version(session, turned_on)
        if version is None:
            return False
        if annotation_rows.is_any_to_look_at(session, turned_on, version):
            return True
        if turned_on.annotator != CAPTION:
            return False
        try:
            return self.sentences.is_any_missing(session, turned_on.collection_id)
        except (CollectionNotFound, IndexGone):  # it is being deleted
            return False

    def _version(self, session: Session, turned_on: TurnedOn) -> str | None:
        """The version of what it would find now; None where it is not available."""
        try:
            return self.known[turned_on.annotator].look(session, turned_on).version
        except (AnnotatorUnavailable, IndexGone):
            return None

    def _count_due(self, session: Session, turned_on: TurnedOn) -> int:
        counts = self._covered(session, turned_on).coverage
        return counts.waiting + counts.failed if counts else 0

    def _covered(self, session: Session, turned_on: TurnedOn) -> CoveredAnnotator:
        version = self._version(session, turned_on)
        if version is None:
            return CoveredAnnotator(turned_on, None, None)
        covered = annotation_rows.coverage(session, turned_on, version)
        return CoveredAnnotator(turned_on, version, covered)

    def _submit(self, session: Session, turned_on: TurnedOn) -> None:
        source = {ANNOTATING: turned_on.annotator}
        job_id = jobs.create(session, NewJob(turned_on.collection_id, source, self.queue + LONG))
        annotator_rows.note_job(session, turned_on, job_id)


def _turn_off(session: Session, turned_on: TurnedOn) -> None:
    if turned_on.job_id is not None:
        job_control.cancel_if_open(session, turned_on.job_id)
    annotation_rows.forget(session, turned_on)
    annotator_rows.turn_off(session, turned_on)
    if turned_on.annotator in REGION_ANNOTATORS:
        for generation in generations.of_collection(session, turned_on.collection_id):
            if generation.regions is None:  # else it has what it was built with
                regions.drop(session, generation.index)


def regions_of(kind: Regions) -> Sequence[str]:
    """The annotators of this kind of regions."""
    return [] if kind == "off" else [kind]


def _is_open(session: Session, turned_on: TurnedOn) -> bool:
    """Whether its last job is under way; the end of that job waits for this transaction."""
    job_id = turned_on.job_id
    return job_id is not None and jobs.get(session, job_id).finished_at is None
