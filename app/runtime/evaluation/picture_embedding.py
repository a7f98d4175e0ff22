"""Pictures embedded for an evaluation only, and how long that takes on this machine."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.database.connections import Sessions
from app.encoders.resident_model import ResidentModel
from app.index import missing_vectors
from app.runtime.reindexing.generation_fill import GenerationFill
from app.vectors import Vectors

TIMED_PICTURES = 32  # where the vectors themselves are not needed


@dataclass(frozen=True)
class PictureEmbedding:
    """Embeds the first pages of stored pictures; `count` is told of every batch and may raise."""

    sessions: Sessions
    fill: GenerationFill
    count: Callable[[int], None]

    def run(
        self, encoder: ResidentModel, image_ids: Sequence[int]
    ) -> tuple[dict[int, Vectors], float | None]:
        """Vectors, float32 (dimensions,), by picture, and milliseconds for one, reading included.

        Pictures whose original cannot be read are left out; None if that leaves none. Raises
        Interrupted, ModelUnavailable, and what `count` raises.
        """
        encoder.load()  # its time is not a picture's
        with self.sessions.begin() as session:
            pictures = missing_vectors.pictures(session, image_ids)
        found: dict[int, Vectors] = {}
        began = time.perf_counter()
        for start in range(0, len(pictures), self.fill.batch_size):
            some = pictures[start : start + self.fill.batch_size]
            encoded, _ = self.fill.embed(encoder, some)
            found |= {picture.id: pages[1] for picture, pages in encoded}
            self.count(len(some))
        ms = (time.perf_counter() - began) * 1000
        return found, ms / len(found) if found else None
