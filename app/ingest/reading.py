"""Reads a job's file: fetch its bytes, compare them with the catalog, decode the picture."""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from app.catalog import collections, known_contents, skipped_files
from app.catalog.file_descriptions import FileDescription, recorded, recorded_time
from app.catalog.filters.declared_values import declared_fields, misfits
from app.catalog.images import image_rows
from app.catalog.images.image_rows import KnownFile
from app.catalog.images.new_images import MetadataRules, embedded_words, new_image
from app.catalog.skipped_files import SkippedFile
from app.database.connections import Sessions
from app.errors import (
    OWN_FAULT,
    ImageCorrupt,
    ImageRejected,
    ImageTooLarge,
    ImageTooNarrow,
    ImageUnsupported,
    SourceUnavailable,
    SourceUnreadable,
    StorageUnwritable,
    own_fault,
)
from app.index.embeddings import FRAMES
from app.ingest.further_pages import (
    KEPT_THUMBNAIL,
    FurtherPages,
    first_page,
    read_further_pages,
)
from app.ingest.jobs import job_items, leases
from app.ingest.jobs.job_items import Item
from app.ingest.jobs.leases import ItemResult, LeasedBatch
from app.ingest.prepared import (
    DeletedContent,
    KnownContent,
    PictureInPlace,
    Prepared,
    RefusedFile,
)
from app.ingest.upload_stages import PreparedUpload
from app.ingest.uploads import Uploads
from app.pictures.decoding import Picture, PillowImage, decode
from app.pictures.formats import check_signature, decoders
from app.pictures.memory_budget import DECODING_MEMORY
from app.pictures.picture_limits import PictureLimits
from app.pictures.thumbnails import encode_thumbnail
from app.pictures.video.frame_reading import video_rules
from app.sources.download import Downloader
from app.sources.folders import read_file
from app.sources.interfaces import S3_SCHEME, Source
from app.sources.sidecars.annotations import Annotation
from app.sources.sidecars.sidecar_reading import read_sidecars
from app.sources.source_access import Sources
from app.storage.disk import Disk

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels

log = logging.getLogger(__name__)

REFUSAL_VERSION = 3  # raised whenever a file may be accepted that was refused before
VERDICTS = (ImageUnsupported, ImageCorrupt, ImageTooLarge, ImageTooNarrow)
"""What is wrong with a file itself, so that reading it again would not help."""


@dataclass(frozen=True)
class ReadingContext:
    """What reading needs: where files come from and go to, and the limits."""

    sessions: Sessions
    prepare: "Callable[[PillowImage], Pixels]"
    sources: Sources
    uploads: Uploads
    incoming: Disk
    downloader: Downloader
    limits: PictureLimits

    @property
    def rules(self) -> MetadataRules:
        """What is kept of what files say."""
        return self.uploads.rules


class ItemReader:
    """Reads the items of one batch, on many threads."""

    def __init__(self, context: ReadingContext, batch: LeasedBatch) -> None:
        self._context = context
        self._job = batch.job
        self._source = context.sources.open(batch.job.source)
        self._reread = bool(batch.job.source.get("reread"))
        with context.sessions.begin() as session:
            self._all_pages = collections.indexes_all_pages(session, batch.job.collection_id)
            self._declared = declared_fields(session, batch.job.collection_id)
            paths = [item.path for item in batch.items] if self._source else []
            self._known = image_rows.files_at(session, batch.job.collection_id, paths)
        self._claimed: set[int] = set()  # rows whose file vanished and was found elsewhere
        self._claiming = threading.Lock()

    def of(self, item: Item) -> Prepared:
        """Read one item; whatever is wrong with its file becomes its result.

        Raises StorageUnwritable: that concerns all files that are to be kept.
        """
        try:
            return self._in_place(item, self._source) if self._source else self._sent(item)
        except VERDICTS as error:
            if self._source:
                return Prepared(item, RefusedFile(str(error), error.code))
            return Prepared(item, ItemResult(item, "failed", str(error), code=error.code))
        except ImageRejected as error:
            return Prepared(item, ItemResult(item, "failed", str(error), code=error.code))
        except (SourceUnavailable, SourceUnreadable) as error:
            return Prepared(item, retry_later(item, str(error), error.code))
        except StorageUnwritable:
            raise
        except Exception as error:
            log.exception("%s of job %s failed", item.path, self._job.id)
            return Prepared(item, retry_later(item, own_fault(error), OWN_FAULT))

    def _in_place(self, item: Item, source: Source) -> Prepared:
        known = self._known.get(item.path)
        if known and known.etag == item.etag and not self._reread:  # another job was faster
            return Prepared(item, ItemResult(item, "unchanged", image_id=known.id))
        limits = self._context.limits
        data = source.read(item.path, limits.max_file_bytes, check_signature)
        sidecar, fault = self._sidecar(item, source)
        note = self._noted(fault, sidecar.metadata)
        content_hash = hashlib.sha256(data).digest()
        if known and known.content_hash == content_hash and not self._lacks_pages(known):
            return Prepared(item, self._kept(known, data, sidecar, fault, None), note)
        sessions, collection_id = self._context.sessions, self._job.collection_id
        if not known and known_contents.is_known(sessions, collection_id, content_hash):
            if skipped := self._deleted(item.path, content_hash):
                return Prepared(item, DeletedContent(skipped), note)
            if vanished := self._claim_vanished(content_hash):
                return Prepared(item, self._kept(vanished, data, sidecar, fault, "moved"), note)
        picture = decode(data, limits.max_megapixels, is_background=True)
        if self._job.dry_run:
            return Prepared(item, ItemResult(item, "changed" if known else "added"), note)
        place, fault = self._place(item, data, picture, sidecar, known is not None)
        return Prepared(item, place, _joined(note, fault))

    def _lacks_pages(self, known: KnownFile) -> bool:
        """Whether a known picture that is read again has pages to index, perhaps."""
        embedded = recorded(known.embedded)
        has_pages = known.embedded is None or FRAMES in embedded.metadata
        return self._reread and self._all_pages and has_pages

    def _further_pages(self, data: bytes, picture: Picture) -> FurtherPages:
        if not self._all_pages:
            return first_page(picture)
        context = self._context
        return read_further_pages(data, picture, context.limits.max_megapixels, context.prepare)

    def _sidecar(self, item: Item, source: Source) -> tuple[Annotation, str | None]:
        """What the item's sidecars say, and a note of those that are malformed.

        They never fail the picture.
        """
        folder, slash, name = item.path.rpartition("/")
        found, faults = read_sidecars(
            lambda sidecar, max_bytes: source.read(f"{folder}{slash}{sidecar}", max_bytes),
            name,
            item.sidecars or (),
            keep_gps=self._context.rules.keep_gps,
            name_place=self._context.rules.name_place,
        )
        return found, f"A sidecar was ignored: {'; '.join(faults)}" if faults else None

    def _noted(self, note: str | None, metadata: Mapping[str, Any]) -> str | None:
        """The note, and what the metadata hold that is not of their fields' types."""
        faults = misfits(metadata, self._declared)
        unfit = f"Filters ignore what does not fit its field: {faults}." if faults else None
        return " ".join(filter(None, (note, unfit))) or None

    def _kept(
        self,
        known: KnownFile,
        data: bytes,
        sidecar: Annotation,
        fault: str | None,
        outcome: str | None,
    ) -> KnownContent:
        """A known picture, whose sidecars may have changed."""
        is_read = known.embedded is not None and not self._reread
        embedded = recorded(known.embedded) if is_read else self._embedded(data)
        words = FileDescription.of(sidecar, embedded)
        same = words.sidecar == known.sidecar and words.embedded == known.embedded
        found = outcome or ("unchanged" if same or fault else "changed")
        return KnownContent(known, None if fault else words, found)

    def _embedded(self, data: bytes) -> Annotation:
        """What a known picture's file says."""
        try:
            picture = decode(data, self._context.limits.max_megapixels, is_background=True)
        except ImageRejected:
            return Annotation()
        return embedded_words(picture, self._context.rules)

    def _place(
        self, item: Item, data: bytes, picture: Picture, sidecar: Annotation, known: bool
    ) -> tuple[PictureInPlace, str | None]:
        """The picture to index, and what of it could not be read."""
        new = new_image(
            item.path, item.etag, data, picture, sidecar=sidecar, rules=self._context.rules
        )
        far = item.path.startswith(S3_SCHEME)
        small = encode_thumbnail(picture.image, KEPT_THUMBNAIL) if far else None
        pixels, pages = self._context.prepare(picture.image), self._further_pages(data, picture)
        new = replace(new, frame_times=pages.times)
        found = PictureInPlace(new, pixels, known, small, pages.pixels, pages.thumbnails)
        return found, pages.fault

    def _deleted(self, path: str, content_hash: bytes) -> SkippedFile | None:
        """The picture of this content that was deleted, if this is its file, moved or touched."""
        if self._job.source.get("include_deleted"):
            return None
        with self._context.sessions.begin() as session:
            same = skipped_files.deleted(session, self._job.collection_id, content_hash)
        for one in same:
            if one.path == path:
                return one
        return next((one for one in same if not self._context.sources.exists(one.path)), None)

    def _claim_vanished(self, content_hash: bytes) -> KnownFile | None:
        """A row with this content whose file is gone: it was moved. Each is claimed once."""
        job = self._job
        with self._context.sessions.begin() as session:
            same = image_rows.files_with_content(session, job.collection_id, content_hash)
            ids = [known.id for known in same] if job.dry_run else []
            taken = job_items.moved(session, job.id, ids) if ids else set()
        with self._claiming:
            for known in same:
                if known.id in self._claimed | taken or self._context.sources.exists(known.path):
                    continue
                self._claimed.add(known.id)
                return known
        return None

    def _sent(self, item: Item) -> Prepared:
        """A picture that was uploaded or is downloaded from its URL."""
        data = self._bytes_of(item)
        taken = recorded_time(item.taken) if item.taken else None
        place = item.derived_place or {}
        annotation = Annotation(item.caption, item.metadata or {}, taken, place)
        note = self._noted(item.reason if item.attempts == 0 else None, annotation.metadata)
        uploads = self._context.uploads
        dry_run = self._job.dry_run
        find = uploads.find_duplicate if dry_run else uploads.add_duplicate
        if known := find(data, annotation):
            outcome = outcome_of_known(updated=known.updated)
            return Prepared(item, ItemResult(item, outcome, image_id=known.image.id), note)
        max_megapixels = self._context.limits.max_megapixels
        picture = decode(data, max_megapixels, is_background=True)
        if self._job.dry_run:
            return Prepared(item, ItemResult(item, "added"), note)
        new = self._context.uploads.keep(item.path, data, picture, annotation)
        pixels = self._context.prepare(picture.image)
        pages = self._further_pages(data, picture)
        new = replace(new, frame_times=pages.times)
        further = (pages.pixels, pages.thumbnails)
        draft = PreparedUpload(new, annotation, lambda: self._bytes_of(item), pixels, *further)
        return Prepared(item, draft, _joined(note, pages.fault))

    def _bytes_of(self, item: Item) -> bytes:
        if item.staged is None:
            return self._context.downloader.fetch(item.path).data
        return read_file(
            self._context.incoming.path(item.staged), self._context.limits.max_file_bytes
        )


def _joined(*notes: str | None) -> str | None:
    return " ".join(filter(None, notes)) or None


def outcome_of_known(*, updated: bool) -> str:
    """The outcome of a sent picture that is known: whether what was sent with it changed it."""
    return "changed" if updated else "duplicate"


def refusal_rules(limits: PictureLimits) -> str:
    """What a refusal depends on besides the file: the limits, and the decoders with versions."""
    versions = [f"{name} {version(name)}" for name in ("pillow", "pillow-heif")]
    rules = [str(REFUSAL_VERSION), str(limits), str(DECODING_MEMORY.limit), *versions]
    return ", ".join([*rules, *decoders(), video_rules()])


def retry_later(item: Item, reason: str, code: str | None = None) -> ItemResult:
    """A result to be tried again; failed after the last attempt."""
    if item.attempts + 1 < leases.MAX_ATTEMPTS:
        return ItemResult(item, None, reason, code=code)
    return ItemResult(item, "failed", reason, retryable=True, code=code)
