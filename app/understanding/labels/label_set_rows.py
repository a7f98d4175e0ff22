"""SQL on label sets.

Every function takes a Session and leaves the transaction to its caller.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.orm import Session

from app.database.label_tables import label_sets
from app.errors import LabelSetNotFound, LabelsRejected
from app.understanding.labels.labels import MAX_SETS, LabelSet
from app.understanding.labels.scoring import Scorer
from app.vectors import VectorSpace

STORED_NUMBERS = "<f4"


@dataclass(frozen=True)
class StoredLabelSet:
    """A label set of a collection.

    `revision` grows with each change of its definition, or of the model that embedded it;
    `fingerprint` is that model's, None before. `job_id` is the last job that labelled by it.
    """

    id: int
    collection_id: int
    labels: LabelSet
    revision: int
    fingerprint: str | None
    job_id: int | None
    created_at: datetime
    updated_at: datetime


_COLUMNS = [label_sets.c[name] for name in StoredLabelSet.__dataclass_fields__ if name != "labels"]


def _stored(row: RowMapping) -> StoredLabelSet:
    labels = LabelSet.from_json(row["name"], row["definition"])
    values = {column.name: row[column.name] for column in _COLUMNS}
    return StoredLabelSet(labels=labels, **values)


def _select(*where: Any) -> Any:
    return select(*_COLUMNS, label_sets.c.name, label_sets.c.definition).where(*where)


def of_collection(session: Session, collection_id: int) -> list[StoredLabelSet]:
    """Those of a collection, by name."""
    query = _select(label_sets.c.collection_id == collection_id).order_by(label_sets.c.name)
    return [_stored(row) for row in session.execute(query).mappings()]


def every(session: Session) -> list[StoredLabelSet]:
    """Those of all collections."""
    return [_stored(row) for row in session.execute(_select().order_by(label_sets.c.id)).mappings()]


def get(session: Session, collection_id: int, name: str) -> StoredLabelSet:
    """The set of that name. Raises LabelSetNotFound."""
    ours = (label_sets.c.collection_id == collection_id, label_sets.c.name == name)
    row = session.execute(_select(*ours)).mappings().one_or_none()
    if row is None:
        raise LabelSetNotFound(f"This collection has no label set {name}.")
    return _stored(row)


def lock(session: Session, set_id: int) -> StoredLabelSet:
    """Keep a set from being changed until the transaction ends. Raises LabelSetNotFound."""
    query = _select(label_sets.c.id == set_id).with_for_update(read=True)
    row = session.execute(query).mappings().one_or_none()
    if row is None:
        raise LabelSetNotFound("This label set was deleted.")
    return _stored(row)


def put(session: Session, collection_id: int, labels: LabelSet) -> tuple[StoredLabelSet, bool]:
    """Add the set, or replace the one of its name; also whether it is new.

    What is the same stays as it is; so do the labels told by it where only `category` is changed.
    The row is locked until the transaction ends. Raises LabelsRejected where there are MAX_SETS
    already.
    """
    ours = (label_sets.c.collection_id == collection_id, label_sets.c.name == labels.name)
    row = session.execute(_select(*ours).with_for_update()).mappings().one_or_none()
    if row is None:
        return _added(session, collection_id, labels), True
    known = _stored(row)
    if known.labels == labels:
        return known, False
    query = update(label_sets).where(label_sets.c.id == known.id)
    query = query.values(definition=labels.to_json(), updated_at=func.now())
    if not known.labels.tells_as(labels):
        query = query.values(revision=label_sets.c.revision + 1, fingerprint=None, vectors=None)
    session.execute(query)
    return get(session, collection_id, labels.name), False


def _added(session: Session, collection_id: int, labels: LabelSet) -> StoredLabelSet:
    if len(of_collection(session, collection_id)) >= MAX_SETS:
        raise LabelsRejected(
            f"This collection has {MAX_SETS} label sets already: delete one first."
        )
    values = {"collection_id": collection_id, "name": labels.name, "revision": 1}
    session.execute(insert(label_sets).values(**values, definition=labels.to_json()))
    return get(session, collection_id, labels.name)


def remove(session: Session, collection_id: int, name: str) -> None:
    """Delete a set with all labels by it. Raises LabelSetNotFound."""
    ours = (label_sets.c.collection_id == collection_id, label_sets.c.name == name)
    query = delete(label_sets).where(*ours).returning(label_sets.c.id)
    if session.execute(query).first() is None:
        raise LabelSetNotFound(f"This collection has no label set {name}.")


def note_job(session: Session, set_id: int, job_id: int) -> None:
    """The job that labels by it now."""
    session.execute(update(label_sets).where(label_sets.c.id == set_id).values(job_id=job_id))


def keep_vectors(session: Session, stored: StoredLabelSet, scorer: Scorer, model: str) -> bool:
    """Store the vectors of its prompts, embedded by the model with the fingerprint `model`.

    All labels told before are stale then. False: the set was changed or deleted meanwhile.
    """
    query = update(label_sets).where(
        label_sets.c.id == stored.id, label_sets.c.revision == stored.revision
    )
    query = query.values(
        revision=label_sets.c.revision + 1,
        fingerprint=model,
        logit_scale=scorer.logit_scale,
        vectors=scorer.vectors.astype(STORED_NUMBERS).tobytes(),
    )
    return session.execute(query.returning(label_sets.c.id)).first() is not None


def lock_usable(session: Session, collection_id: int, fingerprint: str) -> list[StoredLabelSet]:
    """The sets whose prompts this model has embedded, kept as they are until the transaction ends.

    Without those that somebody is changing: their job labels again whatever it finds.
    """
    query = _select(
        label_sets.c.collection_id == collection_id, label_sets.c.fingerprint == fingerprint
    )
    query = query.order_by(label_sets.c.id).with_for_update(read=True, skip_locked=True)
    return [_stored(row) for row in session.execute(query).mappings()]


def gates(session: Session, collection_id: int, *, lock: bool = False) -> list[StoredLabelSet]:
    """The sets that are gates; with `lock` they stay as they are until the transaction ends.

    Those that somebody is changing are waited for: no gate is ever passed over.
    """
    is_gate = label_sets.c.definition["gate"].astext.is_not(None)
    query = _select(label_sets.c.collection_id == collection_id, is_gate).order_by(label_sets.c.id)
    query = query.with_for_update(read=True) if lock else query
    return [_stored(row) for row in session.execute(query).mappings()]


def get_scorer(session: Session, stored: StoredLabelSet, space: VectorSpace) -> Scorer | None:
    """What tells labels by the set, by vectors of this space.

    None if another model has embedded its prompts, or none, or it was changed since it was read.
    """
    query = select(label_sets.c.vectors, label_sets.c.logit_scale).where(
        label_sets.c.id == stored.id,
        label_sets.c.revision == stored.revision,
        label_sets.c.fingerprint == space.fingerprint,
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    numbers = np.frombuffer(row.vectors, STORED_NUMBERS).astype(np.float32)
    return Scorer(stored.labels, numbers.reshape(-1, space.dimensions), row.logit_scale)
