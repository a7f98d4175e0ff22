"""Pictures by id: record, original file, thumbnails, changes and deletion."""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, and_

from app.catalog import external_ids, said_words
from app.catalog.filters.declared_values import check_values
from app.catalog.images import image_deletion, image_rows
from app.catalog.images.image_changes import Change
from app.catalog.images.image_removal import DELETE_BATCH, remove_files
from app.catalog.images.image_rows import Totals
from app.catalog.images.image_versions import version_of
from app.catalog.originals import InBucket, OnDisk, Streamed, open_original, reading_errors
from app.database.connections import Sessions
from app.database.tables import Image, images
from app.errors import (
    ImageChanged,
    ImageNotFound,
    ImageVanished,
    PageNotFound,
    StorageUnwritable,
)
from app.pictures.formats import type_and_suffix
from app.pictures.picture_limits import PictureLimits
from app.pictures.thumbnails import (
    make_thumbnail,
    thumbnail_name,
    thumbnail_side,
)
from app.sources.interfaces import S3_SCHEME
from app.sources.sidecars.annotations import Annotation
from app.sources.source_access import Sources
from app.storage.bounded_reads import ORIGINALS
from app.storage.disk import STORE_SCHEME, Stores

log = logging.getLogger(__name__)

TAG_DIGITS = 32  # of a SHA-256 in hexadecimal
RESTORABLE = timedelta(minutes=10)  # how long a picture that was hidden can be restored


@dataclass(frozen=True)
class Thumbnail:
    """A WebP; `content_hash` is the SHA-256 of the picture's file that it was made of."""

    data: bytes
    content_hash: bytes


@dataclass(frozen=True)
class Gallery:
    """Serves pictures by id, never by a path from a client.

    Originals in a bucket are served by redirects to URLs valid for `presign_seconds`, or streamed
    through this process if that is None.
    """

    sessions: Sessions
    sources: Sources
    stores: Stores
    collection_id: int
    limits: PictureLimits
    presign_seconds: int | None

    def count(self) -> int:
        """How many pictures the default collection has."""
        with self.sessions.begin() as session:
            return image_rows.count_images(session, self.collection_id)

    def totals(self) -> Totals:
        """How many pictures there are, in how many collections."""
        with self.sessions.begin() as session:
            return image_rows.count_all(session)

    def get(self, image_id: int) -> Image:
        """The picture's record. Raises ImageNotFound."""
        with self.sessions.begin() as session:
            return image_rows.get_image(session, image_id)

    def by_external_id(self, collection_id: int, external_id: str) -> Image:
        """The record of the picture that has this external id. Raises ImageNotFound."""
        with self.sessions.begin() as session:
            return external_ids.get(session, collection_id, external_id)

    def original(
        self,
        image_id: int,
        *,
        may_redirect: bool = True,
        byte_range: str | None = None,
        if_range: str | None = None,
    ) -> OnDisk | InBucket | Streamed:
        """The original file; one on disk or streamed is open, and the caller closes it.

        One that is streamed has only `byte_range`, as the HTTP header names it, unless its ETag
        is another than `if_range`.
        Raises ImageNotFound, also if the file is gone or is no longer a picture,
        RangeNotSatisfiable, or SourceUnavailable.
        """
        image = self.get(image_id)
        if image.stored_path.startswith(S3_SCHEME):
            if self.presign_seconds is not None and may_redirect:
                return self._redirected(image, self.presign_seconds)
            return self._streamed(image, byte_range, if_range)
        with reading_errors(image):
            location = self.sources.location(image.stored_path)
            file, kind = ORIGINALS.call(location, lambda beat: open_original(location))
        if kind is None:
            file.close()
            raise ImageNotFound(f"The file of picture {image_id} is no longer a picture.")
        info = os.fstat(file.fileno())
        etag, content_hash = f"{info.st_mtime_ns:x}-{info.st_size:x}-{info.st_ino:x}", None
        if self.stores.uploads.owns(location):
            etag, content_hash = image.content_hash.hex()[:TAG_DIGITS], image.content_hash
        name = image.origin or image.path
        return OnDisk(location, file, info, kind, name, etag, content_hash)

    def _redirected(self, image: Image, seconds: int) -> InBucket:
        bucket, key = self.sources.stored_object(image.stored_path)
        with reading_errors(image):
            return InBucket(bucket.presigned_url(key, seconds), seconds)

    def _streamed(self, image: Image, byte_range: str | None, if_range: str | None) -> Streamed:
        bucket, key = self.sources.stored_object(image.stored_path)
        with reading_errors(image):
            try:
                opened = bucket.open(key, if_range, byte_range)
            except ImageVanished:
                if if_range is None:
                    raise
                opened = bucket.open(key)  # it was replaced: all of the new one
        kind, _ = type_and_suffix(image.format)
        return Streamed(opened, kind, image.path)

    def content_hash(self, image_id: int) -> bytes:
        """The SHA-256 of the picture's file when it was indexed. Raises ImageNotFound."""
        return self.get(image_id).content_hash

    def thumbnail(self, image_id: int, size: int, page: int = 1) -> Thumbnail:
        """A WebP whose sides are at most `size` pixels, rounded up to one of THUMBNAIL_SIDES.

        Those of pages after the first are cached for videos alone.
        Raises ImageNotFound, PageNotFound, SourceUnavailable, or what `decode` raises if the file
        has become unreadable.
        """
        return self.thumbnail_of(self.get(image_id), size, page)

    def thumbnail_of(self, image: Image, size: int, page: int = 1) -> Thumbnail:
        """The same of a picture whose record is known."""
        side = thumbnail_side(size)
        seconds = seconds_of(image, page)
        name = thumbnail_name(image.content_hash, side, None if page == 1 else seconds)
        is_cached = page == 1 or seconds is not None
        try:
            if is_cached:
                return Thumbnail(self.stores.thumbnails.path(name).read_bytes(), image.content_hash)
        except OSError:  # not cached yet, or the cache cannot be read
            pass
        with reading_errors(image):
            data = self.sources.read(image.stored_path, self.limits.max_file_bytes)
        small = make_thumbnail(data, side, self.limits.max_megapixels, page, seconds)
        content_hash = hashlib.sha256(data).digest()
        if is_cached and content_hash == image.content_hash:  # else the file has changed
            self._cache_thumbnail(name, small)
        return Thumbnail(small, content_hash)

    def _cache_thumbnail(self, name: str, small: bytes) -> None:
        try:
            self.stores.thumbnails.put(name, small)
        except StorageUnwritable as error:  # it is only a cache
            log.warning("thumbnail not kept: %s", error)

    def change(
        self,
        image_id: int,
        change: Change,
        external_id: str | None = None,
        is_expected: Callable[[str], bool] | None = None,
    ) -> Image:
        """Change what is said of a picture, if `is_expected` accepts its present version.

        An external id of None leaves the present one, an empty one removes it.
        Raises ImageNotFound, ImageChanged, AnnotationInvalid, ExternalIdTaken.
        """
        with self.sessions.begin() as session:
            image = image_rows.get_image(session, image_id, for_update=True)
            if is_expected is not None and not is_expected(version_of(image)):
                raise ImageChanged(
                    f"Picture {image_id} was changed since the version that If-Match names: read "
                    "it again, and send the ETag that comes with it."
                )
            check_values(session, image.collection_id, change.metadata)
            image = said_words.change(session, image, change.caption, change.of(image))
            if external_id is None:
                return image
            return external_ids.assign(session, image, external_id or None)

    def replace(
        self, image_id: int, external_id: str, sent: Annotation
    ) -> tuple[Image, external_ids.Placement]:
        """Give a new upload the external id; the upload that had it is deleted.

        What people said of that one is kept. A picture of a folder that had it stays, without it.
        Raises ImageNotFound, ExternalIdTaken.
        """
        with self.sessions.begin() as session:
            image = image_rows.get_image(session, image_id, for_update=True)
            is_same = image.external_id == external_id
            image, before = external_ids.transfer(session, image, external_id, sent)
        if before is not None and before.stored_path.startswith(STORE_SCHEME):
            self._remove([before.id])
        if is_same:
            return image, "same"
        return image, "new" if before is None else "replaced"

    def delete(self, image_id: int) -> None:
        """Delete the row, its vectors and thumbnails, and the file if it was uploaded.

        A file in the user's own folder stays. Raises ImageNotFound.
        """
        if not self._remove([image_id]):
            raise ImageNotFound(f"There is no picture with id {image_id}.")

    def remove(self, image_ids: Sequence[int], collection_id: int) -> list[int]:
        """Delete those of the pictures that the collection has; returns their ids."""
        removed: list[int] = []
        for start in range(0, len(image_ids), DELETE_BATCH):
            chosen = image_ids[start : start + DELETE_BATCH]
            removed += self._remove(chosen, images.c.collection_id == collection_id)
        return sorted(removed)

    def hide(self, image_ids: Sequence[int], collection_id: int) -> list[int]:
        """As `remove`, but `restore` brings them back for RESTORABLE; they are deleted then."""
        hidden: list[int] = []
        for start in range(0, len(image_ids), DELETE_BATCH):
            chosen = image_ids[start : start + DELETE_BATCH]
            with self.sessions.begin() as session:
                hidden += image_deletion.hide(session, chosen, collection_id, RESTORABLE)
        return sorted(hidden)

    def restore(self, image_ids: Sequence[int], collection_id: int) -> list[int]:
        """Bring hidden pictures back; returns the ids of those whose time is not over."""
        with self.sessions.begin() as session:
            return image_deletion.restore(session, image_ids, collection_id)

    def remove_matching(
        self, collection_id: int, condition: ColumnElement[bool], limit: int
    ) -> tuple[list[int], bool]:
        """Delete up to `limit` of the collection's pictures that match the condition.

        Returns their ids, and whether there are more that match.
        """
        condition = and_(images.c.collection_id == collection_id, condition)
        removed: list[int] = []
        after = 0
        while chosen := self._matching(condition, after):
            wanted = min(limit - len(removed), DELETE_BATCH)
            if wanted == 0:
                return removed, True
            removed += self._remove(chosen[:wanted], condition)
            after = chosen[:wanted][-1]
        return removed, False

    def _matching(self, condition: ColumnElement[bool], after: int) -> list[int]:
        with self.sessions.begin() as session:
            return image_deletion.ids_matching(session, condition, after, DELETE_BATCH)

    def _remove(self, image_ids: Sequence[int], *conditions: ColumnElement[bool]) -> list[int]:
        """Checks the conditions again: a picture that has changed since it was chosen stays."""
        with self.sessions.begin() as session:
            removed = image_deletion.remove(session, image_ids, *conditions)
        remove_files(self.sessions, self.stores, removed)
        return sorted(image.id for image in removed)


def seconds_of(image: Image, page: int) -> float | None:
    """When the page of a video is shown; None for any other file, and where that is not known.

    Raises PageNotFound.
    """
    times = image.frame_times
    if not times:
        return None
    if page > len(times):
        raise PageNotFound(f"The video has no page {page}.")
    return times[page - 1]


def thumbnail_tag(content_hash: bytes, size: int, page: int) -> str:
    """What tells the versions of a thumbnail apart."""
    return f"{content_hash.hex()[:TAG_DIGITS]}-{thumbnail_side(size)}-{page}"
