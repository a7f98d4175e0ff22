"""SQL on external ids: the names that a user's own system has for pictures, unique in a collection.

Every function takes a Session and leaves the transaction to its caller.
"""

from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.catalog import said_words
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.errors import ExternalIdTaken, ImageNotFound
from app.index.vector_indexes import lock
from app.sources.sidecars.annotations import Annotation

MAX_CHARACTERS = 200

Placement = Literal["new", "same", "replaced"]
"""What giving a picture an external id was: nothing had it, this one, or another."""


def holder(session: Session, collection_id: int, external_id: str) -> Image | None:
    """The picture that has this external id, or None."""
    query = select(*IMAGE_COLUMNS).where(
        images.c.collection_id == collection_id, images.c.external_id == external_id, PRESENT
    )
    row = session.execute(query).mappings().one_or_none()
    return Image.of(row) if row else None


def get(session: Session, collection_id: int, external_id: str) -> Image:
    """The picture that has this external id. Raises ImageNotFound."""
    found = holder(session, collection_id, external_id)
    if found is None:
        raise ImageNotFound(f"There is no picture with external_id {external_id!r}.")
    return found


def assign(session: Session, image: Image, external_id: str | None) -> Image:
    """Give a picture this external id; None removes the one that it has.

    Deleted pictures lose it. Raises ExternalIdTaken if another picture has it.
    """
    if external_id is not None:
        lock(session, f"external id {image.collection_id} {external_id}")
        found = holder(session, image.collection_id, external_id)
        if found is not None and found.id != image.id:
            raise ExternalIdTaken(
                f"Picture {found.id} already has the external_id {external_id!r}, and a collection "
                "can have each external_id only once."
            )
        deleted = update(images).where(
            images.c.collection_id == image.collection_id,
            images.c.external_id == external_id,
            ~PRESENT,
        )
        session.execute(deleted.values(external_id=None))
    query = update(images).where(images.c.id == image.id).values(external_id=external_id)
    return Image.of(session.execute(query.returning(*IMAGE_COLUMNS)).mappings().one())


def transfer(
    session: Session, image: Image, external_id: str, sent: Annotation
) -> tuple[Image, Image | None]:
    """Give a picture this external id, taking it from whichever has it.

    What people said of that one is said of this one then, unless they `sent` something else with
    it. Returns the picture, and the one that had the id, if that was another. Raises
    ExternalIdTaken if the picture has another external id itself.
    """
    if image.external_id not in {None, external_id}:
        raise ExternalIdTaken(
            f"This file is already here as picture {image.id}, with the external_id "
            f"{image.external_id!r}. A picture can have only one external_id, and a collection "
            "keeps the same file only once."
        )
    lock(session, f"external id {image.collection_id} {external_id}")
    before = holder(session, image.collection_id, external_id)
    if before is not None and before.id == image.id:
        return image, None
    if before is not None:
        assign(session, before, None)
        image = _carry_over(session, before, image, sent)
    return assign(session, image, external_id), before


def _carry_over(session: Session, before: Image, image: Image, sent: Annotation) -> Image:
    query = select(images.c.said_caption, images.c.said_metadata)
    old = session.execute(query.where(images.c.id == before.id)).one()
    changes = {**old.said_metadata, **sent.metadata}
    return said_words.change(session, image, sent.caption or old.said_caption, changes)
