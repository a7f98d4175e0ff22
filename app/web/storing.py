"""The dependency of the routes that take pictures in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends

from app.catalog.external_ids import Placement
from app.catalog.gallery import Gallery
from app.catalog.review_queue import ReviewQueue
from app.database.tables import Image
from app.ingest.upload_stages import Outcome, Upload
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.open_collection import OpenCollection
from app.sources.sidecars.annotations import Annotation
from app.web.dependencies import GalleryService, RegistryService, ReviewService


@dataclass(frozen=True)
class Storing:
    """What takes pictures in."""

    registry: CollectionRegistry
    gallery: Gallery
    review: ReviewQueue

    def store(
        self,
        opened: OpenCollection,
        files: Sequence[Upload],
        caption: str | None,
        metadata: Mapping[str, Any],
    ) -> list[Outcome]:
        """As `Uploads.store`, into the generation that is active now."""
        return self.registry.on_current(
            opened.collection.id, lambda now: now.uploads.store(files, caption, metadata)
        )

    def name(
        self, outcome: Outcome, external_id: str, said: Annotation
    ) -> tuple[Image, Placement | Literal["held"]]:
        """As `Gallery.replace`; a picture that is held gets the external id once it is approved.

        Raises the error for which the picture was refused.
        """
        image = outcome.stored()
        if outcome.status == "held":
            self.review.want_external_id(image.id, external_id)
            return image, "held"
        return self.gallery.replace(image.id, external_id, said)


async def _storing(
    registry: RegistryService, gallery: GalleryService, review: ReviewService
) -> Storing:
    return Storing(registry, gallery, review)


StoringService = Annotated[Storing, Depends(_storing)]
