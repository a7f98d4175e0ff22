"""Names of files that begin as somebody types."""

from collections.abc import Sequence

from sqlalchemy import ColumnClause, bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from app.database.tables import FILE_NAME, PRESENT, images

MAX_COUNTED = 500  # pictures read at once: of one name, or of many
LAST = "\U0010ffff"  # sorts after any other character

_folded: ColumnClause[str] = literal_column(FILE_NAME)
_some = (
    select(
        _folded.label("folded"),
        func.regexp_replace(func.coalesce(images.c.origin, images.c.path), "^.*/", "").label(
            "name"
        ),
    )
    .where(
        images.c.collection_id == bindparam("collection_id"),
        PRESENT,
        _folded >= bindparam("first"),
        _folded < bindparam("last"),
    )
    .order_by(_folded)
    .limit(MAX_COUNTED)
    .subquery()
)
NAMES = (
    select(func.min(_some.c.name).label("name"), func.count().label("pictures"))
    .group_by(_some.c.folded)
    .order_by(_some.c.folded)
    .limit(bindparam("limit"))
)
"""Reads MAX_COUNTED entries of images_file_name_idx at most, however many pictures there are."""


def names_beginning(
    session: Session, collection_id: int, typed: str, limit: int
) -> Sequence[tuple[str, int]]:
    """File names that begin so in any case, by alphabet, and how many pictures have each.

    At most MAX_COUNTED pictures are counted.
    """
    first = typed.lower()
    values = {"collection_id": collection_id, "first": first, "last": first + LAST, "limit": limit}
    return [(name, pictures) for name, pictures in session.execute(NAMES, values)]
