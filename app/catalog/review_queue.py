"""The review queue: pictures that gates hold, and what people decide on them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from app.catalog import external_ids, said_words
from app.catalog.gallery import Gallery, Thumbnail
from app.catalog.images import held_images, image_deletion, image_rows
from app.catalog.images.held_images import HeldImage
from app.catalog.images.image_removal import remove_files
from app.catalog.standing import new_image_rows
from app.database.tables import Image
from app.errors import ExternalIdTaken
from app.storage.disk import STORE_SCHEME

Decision = Literal["approve", "reject"]


@dataclass(frozen=True)
class ReviewQueue:
    """Answers requests about held pictures, which nothing else shows."""

    gallery: Gallery

    def listed(self, collection_id: int, after: int, limit: int) -> list[HeldImage]:
        """A collection's held pictures, by id, from above `after` on."""
        with self.gallery.sessions.begin() as session:
            return held_images.listed(session, collection_id, after, limit)

    def count(self, collection_id: int) -> int:
        """How many there are."""
        with self.gallery.sessions.begin() as session:
            return held_images.count(session, collection_id)

    def thumbnail(self, collection_id: int, image_id: int, size: int) -> Thumbnail:
        """A held picture as a WebP; raises ImageNotFound, and as `Gallery.thumbnail`."""
        with self.gallery.sessions.begin() as session:
            image = held_images.get(session, collection_id, image_id)
        return self.gallery.thumbnail_of(image, size)

    def require(self, collection_id: int, image_id: int) -> None:
        """Raise ImageNotFound unless the picture is held."""
        with self.gallery.sessions.begin() as session:
            held_images.get(session, collection_id, image_id)

    def want_external_id(self, image_id: int, external_id: str) -> None:
        """Remember the external id that a held picture gets once it is approved."""
        with self.gallery.sessions.begin() as session:
            held_images.want_external_id(session, image_id, external_id)

    def decide(self, collection_id: int, image_ids: Sequence[int], decision: Decision) -> list[int]:
        """Show or delete those of the pictures that are held; returns their ids.

        A file in a folder or bucket stays where it is, and is not indexed again.
        """
        if decision == "approve":
            return self._approve(collection_id, image_ids)
        with self.gallery.sessions.begin() as session:
            rejected = held_images.reject(session, collection_id, image_ids)
        remove_files(self.gallery.sessions, self.gallery.stores, rejected)
        return sorted(image.id for image in rejected)

    def _approve(self, collection_id: int, image_ids: Sequence[int]) -> list[int]:
        with self.gallery.sessions.begin() as session:
            shown = held_images.approve(session, collection_id, image_ids)
            new_image_rows.note(session, sorted(shown))
            replaced = [
                before.id
                for image_id, external_id in sorted(shown.items())
                if external_id and (before := _named(session, image_id, external_id))
            ]
            removed = image_deletion.remove(session, replaced)
        remove_files(self.gallery.sessions, self.gallery.stores, removed)
        return sorted(shown)


def _named(session: Session, image_id: int, external_id: str) -> Image | None:
    """Give a picture its external id; the upload that had it, whose place it takes.

    If it has another one by now, it keeps that.
    """
    image = image_rows.get_image(session, image_id, for_update=True)
    sent = said_words.said(session, image)
    with suppress(ExternalIdTaken):
        _, before = external_ids.transfer(session, image, external_id, sent)
        if before is not None and before.stored_path.startswith(STORE_SCHEME):
            return before
    return None
