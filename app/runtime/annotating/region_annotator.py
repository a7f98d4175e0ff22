"""The annotators `grid` and `detector`: embed parts of pictures, for searches by vectors.

Their vectors belong to one generation, so that a picture is looked at anew for each. What a
generation has already, or can copy from another one of the same model, is not embedded again.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event

import numpy as np
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.index import missing_vectors, regions, vector_indexes
from app.index.missing_vectors import MissingPicture
from app.index.regions import Region
from app.ingest.batch_indexing import results_of
from app.pictures.decoding import PillowImage
from app.runtime.annotating.annotator import Found, Look
from app.understanding.annotators import annotation_rows
from app.understanding.annotators.annotator_rows import TurnedOn
from app.understanding.regions.region_finders import Crop, RegionFinders
from app.vectors import check_vectors


@dataclass(frozen=True)
class RegionAnnotator:
    """Embeds what one of the finders finds; `encoder_of` gives an index its model."""

    name: str
    finders: RegionFinders
    encoder_of: Callable[[VectorIndex], ResidentModel]
    stop: Event

    def check(self) -> None:
        """As `Annotator`."""
        self.finders.version(self.name)

    def look(self, session: Session, turned_on: TurnedOn) -> Look:
        """As `Annotator`."""
        index = vector_indexes.active_index(session, turned_on.collection_id)
        return _Embedding(
            turned_on,
            index,
            self.finders.version_in(self.name, index.id),
            self.finders.version_in(self.name, "%"),
            self.finders.of(self.name),
            self.encoder_of,
            self.stop,
        )

    def close_if_idle(self) -> None:
        """As `Annotator`; the model is the one of the searches."""


@dataclass(frozen=True)
class _Embedding:
    turned_on: TurnedOn
    index: VectorIndex
    version: str
    any_version: str
    find: Callable[[PillowImage], Sequence[Crop]]
    encoder_of: Callable[[VectorIndex], ResidentModel]
    stop: Event

    def adopted(self, session: Session, image_ids: Sequence[int]) -> Collection[int]:
        """Those that were looked at for another generation, and have regions in this one."""
        vector_indexes.require_present(session, self.index)
        done = annotation_rows.known_by(session, self.turned_on, image_ids, self.any_version)
        kind = regions.kind(session, self.index)
        for source in missing_vectors.siblings(session, self.index, kind):
            regions.copy(session, source, self.index, done)
        there = regions.having(session, self.index, done)
        annotation_rows.adopt(session, self.turned_on, sorted(there), self.version)
        return there

    def at(self, picture: MissingPicture, image: PillowImage) -> Found:
        crops = self.find(image)
        found: list[Region] = []
        if crops:
            encoder = self.encoder_of(self.index)
            pixels = [encoder.prepare(part) for _, part in crops]
            waiting = [encoder.submit([one], Priority.INDEXING) for one in pixels]
            vectors = np.concatenate(results_of(waiting, self.stop))
            check_vectors(vectors, self.index.space)
            found = [Region(box, row) for (box, _), row in zip(crops, vectors, strict=True)]
        writing = partial(_write, index=self.index, image_id=picture.id, found=found)
        return Found("read" if found else "skipped", writing)

    def failed(self, picture: MissingPicture, reason: str) -> Found:
        """Regions that are there stay: they are of the same content."""
        return Found("failed", _nothing, reason)


def _nothing(session: Session) -> None:
    """Write nothing."""


def _write(session: Session, index: VectorIndex, image_id: int, found: Sequence[Region]) -> None:
    """Raises IndexGone."""
    vector_indexes.require_present(session, index)
    regions.replace(session, index, image_id, found)
