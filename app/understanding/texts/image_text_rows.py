"""SQL on the texts that were read in pictures.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from app.database.annotation_tables import image_texts
from app.database.tables import images
from app.understanding.texts.text_lines import TextLine

COLUMNS = (image_texts.c.text, image_texts.c.box, image_texts.c.confidence)


def of_image(session: Session, image_id: int, annotator: str) -> list[TextLine]:
    """The lines that were read in a picture, in reading order."""
    query = select(*COLUMNS).where(image_texts.c.image_id == image_id)
    query = query.where(image_texts.c.annotator == annotator).order_by(image_texts.c.number)
    return [
        TextLine(text, tuple(box), confidence) for text, box, confidence in session.execute(query)
    ]


def replace(session: Session, image_id: int, annotator: str, lines: Sequence[TextLine]) -> None:
    """Write the lines of a picture, and make them words of it; it has an annotation already."""
    ours = (image_texts.c.image_id == image_id, image_texts.c.annotator == annotator)
    session.execute(delete(image_texts).where(*ours))
    rows = [
        {"image_id": image_id, "annotator": annotator, "number": number, **vars(line)}
        for number, line in enumerate(lines)
    ]
    if rows:
        session.execute(insert(image_texts), rows)
    whole = "\n".join(line.text for line in lines) or None
    query = update(images).where(images.c.id == image_id)
    query = query.where(images.c.found_text.is_distinct_from(whole))
    session.execute(query.values(found_text=whole))
