"""Labels pictures: those that were just given their vectors, and those that have had them."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.errors import GateUnready
from app.index import embeddings
from app.understanding.labels import image_label_rows, label_set_rows
from app.understanding.labels.gates import Verdict, strictest, verdicts_of
from app.understanding.labels.label_set_rows import StoredLabelSet
from app.understanding.labels.prompts import EncodeTexts, encode_set
from app.understanding.labels.scoring import Scorer
from app.vectors import Vectors, VectorSpace

log = logging.getLogger(__name__)

MOST_KEPT = 20  # scorers: 1 MB each


@dataclass(frozen=True)
class Labeller:
    """Labels new pictures of one index, in the transaction that writes them.

    It needs no model: the sets' prompts are embedded already.
    """

    index: VectorIndex
    _scorers: dict[tuple[int, int], Scorer] = field(default_factory=dict)  # by id and revision
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def label(self, session: Session, image_ids: Sequence[int], vectors: Vectors) -> None:
        """Replace the labels of pictures with these vectors, float32 (n, dimensions).

        A set that fails is logged and left to its job, which labels what has no label.
        """
        if not image_ids:
            return
        image_label_rows.forget(session, image_ids)
        space = self.index.fingerprint
        for stored in label_set_rows.lock_usable(session, self.index.collection_id, space):
            try:
                with session.begin_nested():
                    self._label_by(session, stored, image_ids, vectors)
            except Exception:  # whatever it is, the pictures themselves are kept
                log.exception("label set %s has not labelled new pictures", stored.id)

    def judge(self, session: Session, vectors: Vectors) -> dict[int, Verdict]:
        """What the gates say of new pictures with these vectors, float32 (n, dimensions).

        By position, of those that are stopped. The gates stay as they are until the transaction
        ends. Raises GateUnready, as long as this model has not embedded the prompts of each.
        """
        found: dict[int, list[Verdict]] = {}
        for stored in label_set_rows.gates(session, self.index.collection_id, lock=True):
            scorer = self._scorer(session, stored) if self._is_ready(stored) else None
            if scorer is None:
                raise GateUnready(
                    f"The label set {stored.labels.name!r} has just been changed, and as a gate "
                    "it cannot judge pictures yet: try again in a moment."
                )
            for position, verdict in verdicts_of(stored.labels, scorer.held(vectors)).items():
                found.setdefault(position, []).append(verdict)
        return {position: strictest(verdicts) for position, verdicts in found.items()}

    def unready(self, session: Session) -> list[StoredLabelSet]:
        """The gates whose prompts this model has not embedded."""
        found = label_set_rows.gates(session, self.index.collection_id)
        return [stored for stored in found if not self._is_ready(stored)]

    def _is_ready(self, stored: StoredLabelSet) -> bool:
        return stored.fingerprint == self.index.fingerprint

    def _label_by(
        self, session: Session, stored: StoredLabelSet, image_ids: Sequence[int], vectors: Vectors
    ) -> None:
        scorer = self._scorer(session, stored)
        if scorer is not None:
            image_label_rows.replace(session, stored, image_ids, scorer.held(vectors))

    def _scorer(self, session: Session, stored: StoredLabelSet) -> Scorer | None:
        key = stored.id, stored.revision
        with self._lock:
            found = self._scorers.get(key)
        if found is None:
            found = label_set_rows.get_scorer(session, stored, self.index.space)
            if found is not None:
                with self._lock:
                    while len(self._scorers) >= MOST_KEPT:
                        self._scorers.pop(next(iter(self._scorers)))
                    self._scorers[key] = found
        return found


def embed_prompts(
    sessions: Sessions,
    stored: StoredLabelSet,
    space: VectorSpace,
    encode: EncodeTexts,
    logit_scale: float,
) -> None:
    """Embed the prompts of a set by the model of this space, and keep their vectors.

    Never inside a transaction. If the set is changed meanwhile, nothing is kept.
    """
    scorer = Scorer(stored.labels, encode_set(encode, stored.labels), logit_scale)
    with sessions.begin() as session:
        label_set_rows.keep_vectors(session, stored, scorer, space.fingerprint)


def label_stored(
    session: Session,
    stored: StoredLabelSet,
    index: VectorIndex,
    scorer: Scorer,
    image_ids: Sequence[int],
) -> int:
    """Label pictures by the vectors that they have; returns how many were labelled.

    Their rows are locked before their vectors are read, so that an ingest that changes a picture
    comes before or after; those that one is changing now are left out.
    """
    ids = image_label_rows.lock_unchanging(session, image_ids)
    found = embeddings.get_vectors(session, index, ids)
    if found:
        held = scorer.held(np.stack(list(found.values())))
        image_label_rows.replace(session, stored, list(found), held)
    return len(found)
