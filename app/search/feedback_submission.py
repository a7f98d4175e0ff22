"""Judging: a rating of an answer, or of one of its hits, is kept with the query it is about."""

import hashlib
from dataclasses import dataclass

import numpy as np

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.resident import ResidentModel, normalised
from app.errors import AnswerOutdated, FeedbackRejected
from app.feedback import ratings
from app.feedback.ratings import JudgedSearch, Judgement, StoredJudgement
from app.index import vector_indexes
from app.search.feedback_tokens import ShownAnswer
from app.vectors import Vectors

MAX_COMMENT_CHARACTERS = 2_000
LEAST_RATING, MOST_RATING = 1, 10


@dataclass(frozen=True)
class FeedbackSubmission:
    """Of one index. The model is never called inside a transaction."""

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex

    def judge(self, shown: ShownAnswer, judgement: Judgement) -> StoredJudgement:
        """Keep a judgement of what was shown; the same one again replaces it.

        Raises FeedbackRejected, and AnswerOutdated where the answer came from another index.
        """
        self._check(shown, judgement.image_id)
        asked = self._asked(shown)
        with self.sessions.begin() as session:
            vector_indexes.require_active(session, self.index)
            return ratings.keep(session, self.index, asked, judgement)

    def withdraw(self, shown: ShownAnswer, image_id: int | None) -> None:
        """Forget the judgement of a hit, or of the whole answer; there need not be one.

        Raises FeedbackRejected, and AnswerOutdated.
        """
        self._check(shown, image_id)
        with self.sessions.begin() as session:
            ratings.withdraw(session, self.index, _digest(shown), shown.search, image_id)

    def _check(self, shown: ShownAnswer, image_id: int | None) -> None:
        if (shown.index_id, shown.fingerprint) != (self.index.id, self.index.fingerprint):
            raise AnswerOutdated(
                "The collection was indexed anew since this answer. Search again and judge that."
            )
        if image_id is not None and image_id not in shown.image_ids:
            raise FeedbackRejected(
                f"image_id: picture {image_id} is not among the hits of this answer."
            )

    def _asked(self, shown: ShownAnswer) -> JudgedSearch:
        if shown.vector is not None:
            return JudgedSearch(_digest(shown), shown.query, _unit(shown))
        text = normalised(shown.text or "")
        return JudgedSearch(_digest(shown), text, self.encoder.encode_texts([text])[0])


def _unit(shown: ShownAnswer) -> Vectors:
    vector = np.asarray(shown.vector, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def _digest(shown: ShownAnswer) -> bytes:
    """Of what was asked: it tells one query from another."""
    if shown.vector is not None:
        return hashlib.sha256(b"vector:" + shown.vector.tobytes()).digest()
    return hashlib.sha256(b"text:" + normalised(shown.text or "").encode()).digest()
