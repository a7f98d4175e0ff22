"""One picture: its record, its file, its thumbnails, and its deletion."""

from dataclasses import dataclass
from pathlib import Path

from app import catalog
from app.db import Sessions
from app.errors import ImageNotFound
from app.pictures import media_type, thumbnail, thumbnail_side
from app.storage import Disk
from app.tables import Image


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

    def file(self, image_id: int) -> tuple[Image, Path, str]:
        """Record, file and media type, which is told from the bytes, not from the name.

        Raises ImageNotFound, also where the file is gone or no longer a picture.
        """
        image = self.get(image_id)
        location = self.root / image.path
        try:
            with location.open("rb") as file:
                kind = media_type(file)
        except OSError as error:
            raise ImageNotFound(f"The file of picture {image_id} is gone.") from error
        if kind is None:
            raise ImageNotFound(f"The file of picture {image_id} is no longer a picture.")
        return image, location, kind

    def thumbnail(self, image_id: int, size: int) -> tuple[Image, bytes]:
        """Record and a WebP whose sides are at most `size` pixels, rounded up to a kept size.

        Raises ImageNotFound, or as `pictures.decode` where the file was damaged since.
        """
        image = self.get(image_id)
        side = thumbnail_side(size)
        name = f"{image.content_hash.hex()}-{side}.webp"
        try:
            return image, self.thumbnails.path(name).read_bytes()
        except FileNotFoundError:
            pass
        try:
            data = (self.root / image.path).read_bytes()
        except OSError as error:
            raise ImageNotFound(f"The file of picture {image_id} is gone.") from error
        small = thumbnail(data, side, self.max_megapixels)
        self.thumbnails.put(name, small)
        return image, small

    def delete(self, image_id: int) -> None:
        """Delete the row, its vector, its thumbnails, and its file if it was uploaded.

        A file in a folder of the user's stays. Raises ImageNotFound.
        """
        content_hash = self.get(image_id).content_hash
        with self.sessions.begin() as session:
            catalog.lock_content(session, content_hash)
            image = catalog.get_image(session, image_id)
            catalog.delete_images(session, [image_id])
            # Inside the transaction: the lock keeps an upload of the same bytes out meanwhile.
            if self.uploads.owns(self.root / image.path):
                (self.root / image.path).unlink(missing_ok=True)
        self.thumbnails.remove(f"{content_hash.hex()}-*.webp")
