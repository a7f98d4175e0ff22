"""SQL on the vectors of captions' texts.

They are of a generation's model, or of the sentence model that the collection names. Every function
takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, Table, and_, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.annotation_tables import image_texts, sentence_embeddings, text_embeddings
from app.database.tables import PRESENT, VectorIndex, collections, images
from app.understanding.captions.caption_rows import CAPTION, ONLY
from app.vectors import Vectors

OURS = (image_texts.c.annotator == CAPTION, image_texts.c.image_id == images.c.id)


@dataclass(frozen=True)
class WrittenCaption:
    """A picture's generated caption."""

    image_id: int
    text: str


@dataclass(frozen=True)
class CaptionSpace:
    """Vectors of a collection's captions that can be compared: those in `table` with this key."""

    collection_id: int
    table: Table
    key: str
    value: int | str

    @classmethod
    def of_index(cls, index: VectorIndex) -> "CaptionSpace":
        """Those by the model of a generation."""
        return cls(index.collection_id, text_embeddings, "index_id", index.id)

    @classmethod
    def of_sentences(cls, collection_id: int, fingerprint: str) -> "CaptionSpace":
        """Those by a sentence model."""
        return cls(collection_id, sentence_embeddings, "fingerprint", fingerprint)

    @property
    def is_ours(self) -> ColumnElement[bool]:
        """SQL condition on rows of `table`; whose pictures they are it does not say."""
        return and_(self.table.c[self.key] == self.value, self.table.c.annotator == CAPTION)


def without_vector(session: Session, space: CaptionSpace, limit: int) -> list[WrittenCaption]:
    """Captions of the collection whose texts have no vector there."""
    query = _without_vector(select(image_texts.c.image_id, image_texts.c.text), space)
    query = query.order_by(image_texts.c.image_id).limit(limit)
    return [WrittenCaption(*row) for row in session.execute(query)]


def count_without_vector(session: Session, space: CaptionSpace) -> int:
    """How many of them there are."""
    return session.execute(_without_vector(select(func.count()), space)).scalar_one()


def _without_vector(query: "Select[tuple[int]]", space: CaptionSpace) -> "Select[tuple[int]]":
    query = query.select_from(images).join(image_texts, image_texts.c.image_id == images.c.id)
    has_vector = exists().where(
        space.is_ours,
        space.table.c.image_id == image_texts.c.image_id,
        space.table.c.number == image_texts.c.number,
    )
    return query.where(*OURS, images.c.collection_id == space.collection_id, PRESENT, ~has_vector)


def put_vectors(
    session: Session, space: CaptionSpace, captions: Sequence[WrittenCaption], vectors: Vectors
) -> None:
    """Write the vectors of captions, float32 (n, dimensions), unless they have changed since."""
    by_id = {one.image_id: row for one, row in zip(captions, vectors, strict=True)}
    texts = {one.image_id: one.text for one in captions}
    query = select(image_texts.c.image_id, image_texts.c.text).where(
        image_texts.c.annotator == CAPTION,
        image_texts.c.number == ONLY,
        image_texts.c.image_id.in_(list(by_id)),
    )
    found = session.execute(query.with_for_update(key_share=True)).all()
    rows = [
        {
            space.key: space.value,
            "image_id": image_id,
            "annotator": CAPTION,
            "number": ONLY,
            "embedding": by_id[image_id],
        }
        for image_id, text in found
        if text == texts[image_id]
    ]
    if rows:
        written = upsert(space.table).values(rows)
        changed = {space.key: space.value, "embedding": written.excluded.embedding}
        keys = list(space.table.primary_key.columns)
        session.execute(written.on_conflict_do_update(index_elements=keys, set_=changed))


def keep_sentence_model(session: Session, collection_id: int, name: str | None) -> bool:
    """Whether the collection names this sentence model; it does until the transaction ends."""
    query = select(collections.c.id).where(
        collections.c.id == collection_id, collections.c.sentence_model.is_not_distinct_from(name)
    )
    return session.execute(query.with_for_update(read=True)).first() is not None


def drop_sentences(session: Session, collection_id: int) -> None:
    """Delete the vectors of a collection's captions by sentence models."""
    query = delete(sentence_embeddings).where(
        sentence_embeddings.c.image_id == images.c.id, images.c.collection_id == collection_id
    )
    session.execute(query)
