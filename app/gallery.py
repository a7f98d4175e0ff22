"""One picture: its record, its file, its thumbnails, and its deletion."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from app import catalog
from app.db import Sessions
from app.errors import ImageNotFound
from app.pictures import media_type, thumbnail, thumbnail_side
from app.storage import Disk
from app.tables import Image

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gallery:
    """Serves pictures by id, never by a path from a client."""

    sessions: Sessions
    uploads: Disk
    thumbnails: Disk
    root: Path
    collection_id: int
    max_megapixels: float

    def count(self) -> int:
        """How many pictures there are."""
        with self.sessions.begin() as session:
            return catalog.count_images(session, self.collection_id)

    def get(self, image_id: int) -> Image:
        """The picture's record. Raises ImageNotFound."""
        with self.sessions.begin() as session:
            return catalog.get_image(session, image_id)

    def file(self, image_id: int) -> tuple[Path, str]:
        """Its place and its media type, which is told from the bytes, not from the name.

        Raises ImageNotFound, also where the file is gone or no longer a picture.
        """
        location = self.root / self.get(image_id).path
        try:
            with location.open("rb") as file:
                kind = media_type(file)
        except OSError as error:
            raise ImageNotFound(f"The file of picture {image_id} is gone.") from error
        if kind is None:
            raise ImageNotFound(f"The file of picture {image_id} is no longer a picture.")
        return location, kind

    def thumbnail(self, image_id: int, size: int) -> bytes:
        """A WebP whose sides are at most `size` pixels, rounded up to a kept size.

        Raises ImageNotFound, or as `pictures.decode` where the file was damaged since.
        """
        image = self.get(image_id)
        side = thumbnail_side(size)
        name = f"{image.content_hash.hex()}-{side}.webp"
        try:
            return self.thumbnails.path(name).read_bytes()
        except OSError:  # not made yet, or the cache cannot be read
            pass
        try:
            data = (self.root / image.path).read_bytes()
        except OSError as error:
            raise ImageNotFound(f"The file of picture {image_id} is gone.") from error
        small = thumbnail(data, side, self.max_megapixels)
        if hashlib.sha256(data).digest() == image.content_hash:  # else it changed since
            self._keep_thumbnail(name, small)
        return small

    def _keep_thumbnail(self, name: str, small: bytes) -> None:
        try:
            self.thumbnails.put(name, small)
        except OSError as error:  # a full disk costs the cache, not the answer
            log.warning("thumbnail not kept: %s", error)

    def delete(self, image_id: int) -> None:
        """Delete the row, its vector, its thumbnails, and its file if it was uploaded.

        A file in a folder of the user's stays. Raises ImageNotFound.
        """
        with self.sessions.begin() as session:
            image = catalog.get_image(session, image_id)
            catalog.lock_content(session, image.content_hash)
            catalog.delete_images(session, [image_id])
        if self.uploads.owns(self.root / image.path):
            self._delete_file(image)
        self.thumbnails.remove(f"{image.content_hash.hex()}-*.webp")

    def _delete_file(self, image: Image) -> None:
        """Once the row is gone for good: a crash between leaves a file, never a row without one.

        The lock keeps out an upload of the same bytes that would take the file over meanwhile.
        """
        with self.sessions.begin() as session:
            catalog.lock_content(session, image.content_hash)
            if catalog.find_by_hash(session, self.collection_id, image.content_hash) is None:
                (self.root / image.path).unlink(missing_ok=True)
