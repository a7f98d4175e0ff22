"""Embeds the texts of captions, by the model of the generation that is searched.

They are searched as a ranking of their own. Each new generation gets them anew.
"""

import threading
from dataclasses import dataclass

from app.database.connections import Sessions
from app.encoders.batching import Priority
from app.errors import Interrupted
from app.index import vector_indexes
from app.runtime.collection_registry import CollectionRegistry
from app.understanding.captions import caption_rows

BATCH = 128  # captions in one transaction


@dataclass(frozen=True)
class CaptionVectors:
    """Fills what is missing, on the calling thread; `stop` interrupts."""

    sessions: Sessions
    registry: CollectionRegistry
    stop: threading.Event

    def fill(self, collection_id: int) -> None:
        """Embed all captions of a collection that have no vector. Raises Interrupted."""
        before: list[int] = []
        while True:
            if self.stop.is_set():
                raise Interrupted("The worker stops.")
            with self.sessions.begin() as session:
                index = vector_indexes.active_index(session, collection_id)
                captions = caption_rows.without_vector(session, index, BATCH)
            ids = [one.image_id for one in captions]
            if not captions or ids == before:  # all of these are changing: the next job's
                return
            encoder = self.registry.encoder_of(index)
            vectors = encoder.encode_texts([one.text for one in captions], Priority.INDEXING)
            with self.sessions.begin() as session:
                caption_rows.put_vectors(session, index, captions, vectors)
            before = ids
