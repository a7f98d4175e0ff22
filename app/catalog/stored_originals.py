"""The bytes of stored pictures as they were indexed."""

import hashlib
from dataclasses import dataclass

from app.errors import ImageRejected, ImageVanished, SourceUnavailable, SourceUnreadable
from app.index.missing_vectors import MissingPicture
from app.pictures.decoding import PillowImage, decode
from app.pictures.picture_limits import PictureLimits
from app.sources.source_access import Sources

READ_ERRORS = (ImageRejected, SourceUnavailable, SourceUnreadable)


@dataclass(frozen=True)
class StoredOriginals:
    """Reads originals from wherever they are kept. Any thread may call."""

    sources: Sources
    limits: PictureLimits

    def read(self, picture: MissingPicture) -> bytes:
        """Its bytes as they were indexed, from its own place or from an upload of the same.

        Raises READ_ERRORS.
        """
        try:
            data = self.sources.read(picture.stored_path, self.limits.max_file_bytes)
        except READ_ERRORS:
            if picture.upload_copy is None:
                raise
            data = self.sources.read(picture.upload_copy, self.limits.max_file_bytes)
        if hashlib.sha256(data).digest() != picture.content_hash:
            raise ImageVanished("Its file has changed since it was indexed: index it again.")
        return data

    def first_page(self, picture: MissingPicture, *, is_background: bool = False) -> PillowImage:
        """Its first page, upright RGB; of a video the frame that is known as its first.

        Raises READ_ERRORS, Busy.
        """
        times = picture.frame_times
        decoded = decode(
            self.read(picture),
            self.limits.max_megapixels,
            is_background=is_background,
            seconds=times[0] if times else None,
        )
        return decoded.image
