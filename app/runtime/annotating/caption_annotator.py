"""The annotator `caption`: says what pictures show, for searches by words and by meaning."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from app.encoders.captions import Caption
from app.index.missing_vectors import MissingPicture
from app.pictures.decoding import PillowImage
from app.runtime.annotating.annotator import Found, Look
from app.understanding.annotators.annotator_rows import TurnedOn
from app.understanding.captions import caption_rows
from app.understanding.captions.captioner import Captioner

MAX_CAPTION_CHARACTERS = 2_000


@dataclass(frozen=True)
class CaptionAnnotator:
    """Describes by the captioner."""

    captioner: Captioner

    def check(self) -> None:
        """As `Annotator`."""
        self.captioner.version()

    def look(self, session: Session, turned_on: TurnedOn) -> Look:
        """As `Annotator`."""
        return _Describing(self.captioner, self.captioner.version())

    def close_if_idle(self) -> None:
        """As `Annotator`."""
        self.captioner.close_if_idle()


@dataclass(frozen=True)
class _Describing:
    captioner: Captioner
    version: str

    def adopted(self, session: Session, image_ids: Sequence[int]) -> Collection[int]:
        return ()

    def at(self, picture: MissingPicture, image: PillowImage) -> Found:
        (caption,) = self.captioner.describe([image])
        text = caption.text[:MAX_CAPTION_CHARACTERS].strip()
        found = Caption(text, caption.confidence) if text else None
        return Found("read" if found else "skipped", self._writing(picture, found))

    def failed(self, picture: MissingPicture, reason: str) -> Found:
        return Found("failed", self._writing(picture, None), reason)

    def _writing(self, picture: MissingPicture, caption: Caption | None) -> "partial[None]":
        language = self.captioner.language
        return partial(
            caption_rows.replace, image_id=picture.id, caption=caption, language=language
        )
