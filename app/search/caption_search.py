"""Search by the meaning of generated captions: their texts' vectors beside the query's.

All are compared, without an index: the ranking is off unless a search gives it a weight.
"""

from dataclasses import dataclass

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import cast, select
from sqlalchemy.orm import Session

from app.database.annotation_tables import text_embeddings
from app.database.tables import PRESENT, VectorIndex, images
from app.index.hnsw_search import Condition
from app.understanding.captions.caption_rows import CAPTION
from app.vectors import Vectors


@dataclass(frozen=True, eq=False)
class CaptionSearch:
    """Pictures of one index by how near their generated captions are to `vector`, (dimensions,)."""

    session: Session
    index: VectorIndex
    vector: Vectors
    condition: Condition

    def window(self, start: int, stop: int) -> list[int]:
        """The ids of the pictures `start` (from 0) up to but excluding `stop`, nearest first."""
        stored = cast(text_embeddings.c.embedding, HALFVEC(self.index.dimensions))
        distance = stored.cosine_distance(cast(self.vector, stored.type))
        query = select(images.c.id).join(text_embeddings, text_embeddings.c.image_id == images.c.id)
        query = query.where(
            text_embeddings.c.index_id == self.index.id,
            text_embeddings.c.annotator == CAPTION,
            images.c.collection_id == self.index.collection_id,
            PRESENT,
        )
        if self.condition is not None:
            query = query.where(self.condition)
        query = query.order_by(distance, images.c.id).limit(stop - start).offset(start or None)
        return list(self.session.execute(query).scalars())
