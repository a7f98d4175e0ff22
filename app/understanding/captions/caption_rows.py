"""SQL on captions that a model has written.

Every function takes a Session and leaves the transaction to its caller.
"""

from sqlalchemy import delete, insert, update
from sqlalchemy.orm import Session

from app.database.annotation_tables import image_texts
from app.database.tables import images
from app.encoders.captions import Caption

CAPTION = "caption"  # the annotator's name
ONLY = 0  # the number of a picture's one caption


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
