"""Search by the meaning of generated captions: their texts' vectors beside the query's.

All are compared, without an index: the ranking is off unless a search gives it a weight.
"""

from dataclasses import dataclass

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import cast, select
from sqlalchemy.orm import Session

from app.database.tables import PRESENT, images
from app.index.hnsw_search import Condition
from app.understanding.captions.caption_vector_rows import CaptionSpace
from app.vectors import Vectors


@dataclass(frozen=True, eq=False)
class CaptionQuery:
    """What a query says to a sentence model: `vector`, (dimensions,), and whose it is."""

    model: str
    fingerprint: str
    vector: Vectors


@dataclass(frozen=True, eq=False)
class CaptionSearch:
    """A collection's pictures by how near their captions in `space` are to `vector`, (dimensions,).

    The vectors of a space all have its dimensions; rows of others are never cast.
    """

    session: Session
    space: CaptionSpace
    vector: Vectors
    condition: Condition

    def window(self, start: int, stop: int) -> list[int]:
        """The ids of the pictures `start` (from 0) up to but excluding `stop`, nearest first."""
        table = self.space.table
        stored = cast(table.c.embedding, HALFVEC(len(self.vector)))
        distance = stored.cosine_distance(cast(self.vector, stored.type))
        query = select(images.c.id).join(table, table.c.image_id == images.c.id)
        query = query.where(
            self.space.is_ours, images.c.collection_id == self.space.collection_id, PRESENT
        )
        if self.condition is not None:
            query = query.where(self.condition)
        query = query.order_by(distance, images.c.id).limit(stop - start).offset(start or None)
        return list(self.session.execute(query).scalars())
