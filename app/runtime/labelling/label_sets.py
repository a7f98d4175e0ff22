"""The requests about label sets, and the jobs that label a collection's pictures by them."""

from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from app.catalog import skipped_files
from app.catalog.images import held_images
from app.catalog.images.held_images import Reason
from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.errors import GateRefused, LabelsRejected
from app.index import vector_indexes
from app.index.categories import category_rows
from app.ingest.jobs import job_control, jobs
from app.ingest.jobs.job_control import LABELLING
from app.ingest.jobs.job_submission import ANYWHERE
from app.ingest.jobs.jobs import NewJob
from app.runtime.known_collections import KnownCollection
from app.understanding.labels import image_label_rows, label_set_rows
from app.understanding.labels.image_label_rows import ImageLabel
from app.understanding.labels.label_set_rows import StoredLabelSet
from app.understanding.labels.labels import LabelSet, check_set

MOST_FLAGGED = 10_000  # pictures that one request holds
FLAG_BATCH = 500  # of them in one transaction


@dataclass(frozen=True)
class CoveredLabelSet:
    """A label set, how many pictures have labels by it, and which labels have a graph."""

    stored: StoredLabelSet
    labelled: int
    graphs: list[str]


@dataclass(frozen=True)
class LabelSets:
    """Answers requests about the label sets of collections."""

    sessions: Sessions

    def put(self, known: KnownCollection, labels: LabelSet) -> tuple[CoveredLabelSet, bool]:
        """Add or replace a set, and have a job label by it; also whether the set is new.

        Raises LabelsRejected, CollectionNotFound.
        """
        check_set(labels)
        return retry_on_lock(
            self.sessions, partial(_put, collection_id=known.collection.id, labels=labels)
        )

    def get(self, known: KnownCollection, name: str) -> CoveredLabelSet:
        """The set of that name. Raises LabelSetNotFound."""
        with self.sessions.begin() as session:
            return _covered(session, label_set_rows.get(session, known.collection.id, name))

    def listed(self, known: KnownCollection) -> list[CoveredLabelSet]:
        """The collection's sets, by name."""
        with self.sessions.begin() as session:
            found = label_set_rows.of_collection(session, known.collection.id)
            return [_covered(session, one) for one in found]

    def delete(self, known: KnownCollection, name: str) -> None:
        """Delete a set with all labels by it, and end its job. Raises LabelSetNotFound."""
        retry_on_lock(self.sessions, partial(_delete, collection_id=known.collection.id, name=name))

    def flag(self, known: KnownCollection, name: str, *, dry_run: bool) -> tuple[list[int], bool]:
        """Hold what the gate would have stopped, up to MOST_FLAGGED; also whether there is more.

        In a dry run nothing is held. Raises LabelSetNotFound, and LabelsRejected if it is no gate.
        """
        with self.sessions.begin() as session:
            stored = label_set_rows.get(session, known.collection.id, name)
            if stored.labels.gate is None:
                raise LabelsRejected(
                    f"The label set {name} is no gate: send it again with `gate`, flag or refuse."
                )
            found = image_label_rows.stopped(session, stored, MOST_FLAGGED + 1)
        reasons = {one.image_id: Reason(name, one.label, one.probability) for one in found}
        ids, more = list(reasons)[:MOST_FLAGGED], len(reasons) > MOST_FLAGGED
        if dry_run:
            return ids, more
        held: list[int] = []
        for start in range(0, len(ids), FLAG_BATCH):
            some = {n: reasons[n] for n in ids[start : start + FLAG_BATCH]}
            with self.sessions.begin() as session:
                held += held_images.hold(session, some)
        return held, more

    def of_image(self, image_id: int) -> list[ImageLabel]:
        """The labels of a picture."""
        with self.sessions.begin() as session:
            return image_label_rows.of_image(session, image_id)

    def keep_current(self) -> None:
        """Submit a job for each set that pictures lack labels by, unless its last was given up.

        They do once another generation of vectors is active, or where labelling at ingest failed.
        """
        with self.sessions.begin() as session:
            found = label_set_rows.every(session)
        for stored in found:
            retry_on_lock(self.sessions, partial(_resubmit, stored=stored))


def _put(session: Session, collection_id: int, labels: LabelSet) -> tuple[CoveredLabelSet, bool]:
    stored, is_new = label_set_rows.put(session, collection_id, labels)
    skipped_files.forget_refused(session, collection_id, GateRefused.code)
    if not _is_open(session, stored):
        _submit(session, stored)
    return _covered(session, label_set_rows.get(session, collection_id, labels.name)), is_new


def _covered(session: Session, stored: StoredLabelSet) -> CoveredLabelSet:
    labelled = image_label_rows.count_labelled(session, stored)
    graphs = category_rows.with_graph(session, stored.id, stored.revision)
    return CoveredLabelSet(stored, labelled, graphs)


def _is_open(session: Session, stored: StoredLabelSet) -> bool:
    """Whether a job labels by the set; the end of that job waits for this transaction."""
    return stored.job_id is not None and jobs.get(session, stored.job_id).finished_at is None


def _submit(session: Session, stored: StoredLabelSet) -> None:
    source = {LABELLING: {"set": stored.id, "name": stored.labels.name}}
    job_id = jobs.create(session, NewJob(stored.collection_id, source, ANYWHERE))
    label_set_rows.note_job(session, stored.id, job_id)


def _delete(session: Session, collection_id: int, name: str) -> None:
    stored = label_set_rows.get(session, collection_id, name)
    if stored.job_id is not None:
        job_control.cancel_if_open(session, stored.job_id)
    label_set_rows.remove(session, collection_id, name)
    skipped_files.forget_refused(session, collection_id, GateRefused.code)


def _resubmit(session: Session, stored: StoredLabelSet) -> None:
    if stored.job_id is not None and jobs.get(session, stored.job_id).state != "succeeded":
        return  # it is under way, or somebody cancelled it
    found = vector_indexes.active_indexes(session, [stored.collection_id])
    index = found.get(stored.collection_id)
    if index is None:
        return
    is_stale = stored.fingerprint != index.fingerprint
    if is_stale or image_label_rows.has_unlabelled(session, stored, index):
        _submit(session, stored)
