"""SQL that pages through what is said of the pictures of a collection."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database.tables import PRESENT, images


@dataclass(frozen=True)
class ImageDescription:
    """The caption and metadata of a picture; `stored_path` as in the catalog."""

    id: int
    stored_path: str
    origin: str | None
    caption: str | None
    metadata: Mapping[str, Any]


def page(
    session: Session, collection_id: int, after: int, limit: int
) -> Sequence[ImageDescription]:
    """Those with ids above `after`, by id."""
    columns = (images.c.id, images.c.path, images.c.origin, images.c.caption, images.c.metadata)
    query = select(*columns).where(
        images.c.collection_id == collection_id, images.c.id > after, PRESENT
    )
    found = session.execute(query.order_by(images.c.id).limit(limit))
    return [ImageDescription(*row) for row in found.tuples()]
