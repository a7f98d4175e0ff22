"""SQL on captions that a model has written, and on the vectors of their texts.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, exists, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.annotation_tables import image_texts, text_embeddings
from app.database.tables import PRESENT, VectorIndex, images
from app.encoders.captions import Caption
from app.vectors import Vectors

CAPTION = "caption"  # the annotator's name
ONLY = 0  # the number of a picture's one caption
OURS = (image_texts.c.annotator == CAPTION, image_texts.c.image_id == images.c.id)


@dataclass(frozen=True)
class WrittenCaption:
    """A picture's generated caption."""

    image_id: int
    text: str


def replace(session: Session, image_id: int, caption: Caption | None, language: str | None) -> None:
    """Write a picture's caption, and make it words of it; it has an annotation already.

    What people or files say of it stays. Vectors of the former text go with it.
    """
    ours = (image_texts.c.image_id == image_id, image_texts.c.annotator == CAPTION)
    session.execute(delete(image_texts).where(*ours))
    if caption is not None:
        row = {"image_id": image_id, "annotator": CAPTION, "number": ONLY, **vars(caption)}
        session.execute(insert(image_texts).values(**row, box=None, language=language))
    text = None if caption is None else caption.text
    query = update(images).where(images.c.id == image_id)
    query = query.where(images.c.generated_caption.is_distinct_from(text))
    session.execute(query.values(generated_caption=text))


def without_vector(session: Session, index: VectorIndex, limit: int) -> list[WrittenCaption]:
    """Captions of the index's collection whose texts have no vector in it."""
    query = select(image_texts.c.image_id, image_texts.c.text).join_from(
        images, image_texts, image_texts.c.image_id == images.c.id
    )
    query = query.where(*OURS, images.c.collection_id == index.collection_id, PRESENT)
    query = query.where(~_has_vector(index)).order_by(image_texts.c.image_id).limit(limit)
    return [WrittenCaption(*row) for row in session.execute(query)]


def _has_vector(index: VectorIndex) -> ColumnElement[bool]:
    return exists().where(
        text_embeddings.c.index_id == index.id,
        text_embeddings.c.image_id == image_texts.c.image_id,
        text_embeddings.c.annotator == CAPTION,
        text_embeddings.c.number == image_texts.c.number,
    )


def put_vectors(
    session: Session, index: VectorIndex, captions: Sequence[WrittenCaption], vectors: Vectors
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
            "index_id": index.id,
            "image_id": image_id,
            "annotator": CAPTION,
            "number": ONLY,
            "embedding": by_id[image_id],
        }
        for image_id, text in found
        if text == texts[image_id]
    ]
    if rows:
        session.execute(upsert(text_embeddings).values(rows).on_conflict_do_nothing())
