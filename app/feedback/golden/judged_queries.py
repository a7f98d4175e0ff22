"""A golden query as it is handed in, and what may be handed in."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.encoders.resident_model import normalised
from app.errors import GoldenQueryRejected
from app.feedback.carried_ratings import text_digest

MAX_JUDGED = 200  # pictures of one query
MAX_TEXT_CHARACTERS = 1_000  # of one query, as of a search

Origin = Literal["written", "imported", "ratings", "captions", "tags"]
"""Where a query came from first."""


@dataclass(frozen=True)
class Judged:
    """A query, either `text` or `image_id`, with the pictures it should find and should not.

    `place` names it in error messages: the line of a file, say.
    """

    text: str | None
    image_id: int | None
    relevant: Sequence[int]
    irrelevant: Sequence[int]
    origin: Origin = "written"
    place: str = ""

    @property
    def digest(self) -> bytes:
        """What identifies the query in its collection; of a text, in its normalised form."""
        if self.text is not None:
            return text_digest(normalised(self.text))
        return hashlib.sha256(f"image:{self.image_id}".encode()).digest()


def check(judged: Judged) -> None:
    """Raise GoldenQueryRejected for what is no query, or for contradictory or too many pictures."""
    text = judged.text
    if (text is None) == (judged.image_id is None):
        raise rejected(judged, "send either a text or a picture (image_id).")
    if text is not None and not 0 < len(text.strip()) <= len(text) <= MAX_TEXT_CHARACTERS:
        raise rejected(
            judged, f"text: send 1 to {MAX_TEXT_CHARACTERS:,} characters, and not only spaces."
        )
    if text is not None and any(one == "\0" or "\ud800" <= one <= "\udfff" for one in text):
        raise rejected(judged, "text: it holds a NUL or half of a surrogate pair.")
    both = sorted({*judged.relevant} & {*judged.irrelevant})
    if both:
        raise rejected(judged, f"picture {both[0]} cannot be both relevant and irrelevant.")
    if judged.image_id in judged.relevant:
        raise rejected(judged, f"picture {judged.image_id} is the query itself: leave it out.")
    if len(judged.relevant) + len(judged.irrelevant) > MAX_JUDGED:
        raise rejected(judged, f"at most {MAX_JUDGED} pictures can be judged for one query.")


def rejected(judged: Judged, sentence: str) -> GoldenQueryRejected:
    """The error with this sentence, which names the query's place first."""
    return GoldenQueryRejected(f"{judged.place}: {sentence}" if judged.place else sentence)
