"""What people say of many pictures at once: captions, tags, metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.catalog import said_words
from app.catalog.filters.declared_values import check_values
from app.database.connections import Sessions
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.errors import AnnotationInvalid

TAGS = "tags"  # the key of the metadata

ChangeStatus = Literal["changed", "not_found", "refused"]


@dataclass(frozen=True)
class Change:
    """The same for every picture: `metadata` are merged, and None removes a key.

    An empty caption removes it, None leaves it. Tags are added behind those that are there.
    """

    caption: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    add_tags: Sequence[str] = ()
    remove_tags: Sequence[str] = ()

    def of(self, image: Image) -> dict[str, Any]:
        """The changes to the picture's metadata, the tags as a whole list."""
        if not (self.add_tags or self.remove_tags):
            return dict(self.metadata)
        present = {**image.metadata, **self.metadata}.get(TAGS)
        return {**self.metadata, TAGS: self._tags(present) or None}

    def _tags(self, present: Any) -> list[Any]:
        known = present if isinstance(present, list) else [] if present is None else [present]
        kept = [tag for tag in known if tag not in self.remove_tags]
        return kept + [tag for tag in dict.fromkeys(self.add_tags) if tag not in kept]


@dataclass(frozen=True)
class Changed:
    """What became of one picture; `reason` says why it was refused."""

    id: int
    status: ChangeStatus
    reason: str | None = None


def change_many(
    sessions: Sessions, collection_id: int, image_ids: Sequence[int], change: Change
) -> list[Changed]:
    """Change pictures of a collection in one transaction; one outcome per id, in their order.

    A picture whose metadata would become too large is refused, and the others are changed. Raises
    AnnotationInvalid, and changes none, where a value has not the type of its field.
    """
    ids = list(dict.fromkeys(image_ids))
    with sessions.begin() as session:
        check_values(session, collection_id, change.metadata)
        found = _locked(session, collection_id, ids)
        return [_changed(session, image_id, found.get(image_id), change) for image_id in ids]


def _locked(session: Session, collection_id: int, ids: Sequence[int]) -> dict[int, Image]:
    query = select(*IMAGE_COLUMNS).where(
        images.c.id.in_(ids), images.c.collection_id == collection_id, PRESENT
    )
    rows = session.execute(query.order_by(images.c.id).with_for_update()).mappings()
    return {row["id"]: Image.of(row) for row in rows}


def _changed(session: Session, image_id: int, image: Image | None, change: Change) -> Changed:
    if image is None:
        return Changed(image_id, "not_found")
    try:
        said_words.change(session, image, change.caption, change.of(image))
    except AnnotationInvalid as error:
        return Changed(image_id, "refused", str(error))
    return Changed(image_id, "changed")
