"""The annotator `text`: reads words in pictures, for searches by words."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from app.index.missing_vectors import MissingPicture
from app.pictures.decoding import PillowImage
from app.runtime.annotating.annotator import TEXT, Found, Look
from app.understanding.annotators.annotator_rows import TurnedOn
from app.understanding.texts import image_text_rows
from app.understanding.texts.text_lines import TextLine
from app.understanding.texts.text_reader import ReaderEnded, TextReader, reader_version


@dataclass(frozen=True)
class TextAnnotator:
    """Reads by the reader, which has a process of its own."""

    reader: TextReader

    def check(self) -> None:
        """As `Annotator`."""
        reader_version()

    def look(self, session: Session, turned_on: TurnedOn) -> Look:
        """As `Annotator`."""
        return _Reading(self.reader, reader_version())

    def close_if_idle(self) -> None:
        """As `Annotator`."""
        self.reader.close_if_idle()


@dataclass(frozen=True)
class _Reading:
    reader: TextReader
    version: str

    def adopted(self, session: Session, image_ids: Sequence[int]) -> Collection[int]:
        return ()

    def at(self, picture: MissingPicture, image: PillowImage) -> Found:
        try:
            lines = self.reader.read(image)
        except ReaderEnded as error:
            return self.failed(picture, str(error))
        return Found("skipped" if lines is None else "read", _writing(picture, lines or []))

    def failed(self, picture: MissingPicture, reason: str) -> Found:
        return Found("failed", _writing(picture, []), reason)


def _writing(picture: MissingPicture, lines: Sequence[TextLine]) -> "partial[None]":
    return partial(image_text_rows.replace, image_id=picture.id, annotator=TEXT, lines=lines)
