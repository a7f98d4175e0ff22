"""What annotators have in common: they look at a decoded picture, and say what is to be written."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlalchemy.orm import Session

from app.index.missing_vectors import MissingPicture
from app.pictures.decoding import PillowImage
from app.understanding.annotators.annotation_rows import Outcome
from app.understanding.annotators.annotator_rows import TurnedOn

ChosenAnnotator = Literal["text", "caption"]
"""Those that `annotators` of a collection names."""
AnnotatorName = Literal["text", "caption", "grid", "detector"]
"""These, and those that its `regions` name."""
TEXT: ChosenAnnotator = "text"
CAPTION: ChosenAnnotator = "caption"


@dataclass(frozen=True)
class Found:
    """What came of looking at a picture; `write` writes it, in place of what was there."""

    outcome: Outcome
    write: Callable[[Session], None]
    reason: str | None = None


class Look(Protocol):
    """One version of an annotator in one collection, as it is now."""

    @property
    def version(self) -> str:
        """What was found by another is stale."""

    def adopted(self, session: Session, image_ids: Sequence[int]) -> Collection[int]:
        """Those of the pictures that have what it would find already; they are noted as such."""

    def at(self, picture: MissingPicture, image: PillowImage) -> Found:
        """Look at a picture, upright RGB.

        Raises ImageSearchError where it fails; Interrupted, ModelUnavailable and
        AnnotatorUnavailable where all pictures are to wait.
        """

    def failed(self, picture: MissingPicture, reason: str) -> Found:
        """What is written of a picture that it could not look at."""


class Annotator(Protocol):
    """Looks at pictures for collections that have it on. Any thread may call."""

    def check(self) -> None:
        """Raise AnnotatorUnavailable where it is not installed."""

    def look(self, session: Session, turned_on: TurnedOn) -> Look:
        """How it looks now. Raises AnnotatorUnavailable, IndexGone."""

    def close_if_idle(self) -> None:
        """Free its memory if it has had nothing to do for a while."""
