"""Stores a rating of a response, or of one of its hits, with the query that it is about."""

import hashlib
from dataclasses import dataclass

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.resident_model import ResidentModel, normalised
from app.errors import AnswerOutdated, FeedbackRejected
from app.feedback import ratings
from app.feedback.carried_ratings import text_digest
from app.feedback.ratings import JudgedSearch, Judgement, StoredJudgement
from app.index import vector_indexes
from app.search.feedback_tokens import ShownAnswer
from app.vectors import Vectors

MAX_COMMENT_CHARACTERS = 2_000
MIN_RATING, MAX_RATING = 1, 10


@dataclass(frozen=True)
class FeedbackSubmission:
    """Stores feedback for one index. The model is never called inside a transaction."""

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex

    def judge(self, shown: ShownAnswer, judgement: Judgement) -> StoredJudgement:
        """Store a judgement; submitting the same one again replaces it.

        Raises FeedbackRejected, and AnswerOutdated if the response to a picture came from another
        model.
        """
        self._check(shown, judgement.image_id)
        judged = self._judged_search(shown)
        with self.sessions.begin() as session:
            vector_indexes.require_active(session, self.index)
            return ratings.store_judgement(session, self.index, judged, judgement)

    def withdraw(self, shown: ShownAnswer, image_id: int | None) -> None:
        """Delete the judgement of a hit, or of the whole response, if there is one.

        Raises FeedbackRejected, AnswerOutdated.
        """
        self._check(shown, image_id)
        with self.sessions.begin() as session:
            ratings.delete_judgement(session, self.index, _digest(shown), shown.search, image_id)

    def _check(self, shown: ShownAnswer, image_id: int | None) -> None:
        is_same_model = shown.fingerprint == self.index.fingerprint
        if shown.text is None and not is_same_model:  # a text is encoded again
            raise AnswerOutdated(
                "The collection was indexed with another model since this answer. Search again and "
                "rate that answer."
            )
        if image_id is not None and image_id not in shown.image_ids:
            raise FeedbackRejected(
                f"image_id: picture {image_id} is not among the hits of this answer."
            )

    def _judged_search(self, shown: ShownAnswer) -> JudgedSearch:
        if shown.vector is not None:
            return JudgedSearch(_digest(shown), shown.query, _unit_vector(shown))
        text = normalised(shown.text or "")
        return JudgedSearch(_digest(shown), text, self.encoder.encode_texts([text])[0])


def _unit_vector(shown: ShownAnswer) -> Vectors:
    vector = np.asarray(shown.vector, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def _digest(shown: ShownAnswer) -> bytes:
    """A hash of the query, which identifies it."""
    if shown.vector is not None:
        return hashlib.sha256(b"vector:" + shown.vector.tobytes()).digest()
    return text_digest(normalised(shown.text or ""))
