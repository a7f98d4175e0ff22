"""Uploads: from a picture's bytes to a stored file and a searchable row.

The row and its vector are written in one transaction after the file is synced to disk. A kill at
any moment leaves complete pictures or none; at worst a file without a row, which the next upload
of the same bytes reuses, and the doctor finds.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy.orm import Session

from app.catalog import collections, upload_copies
from app.catalog.filters.declared_values import check_values
from app.catalog.images import image_rows
from app.catalog.images.new_images import MetadataRules, NewImage, new_image
from app.database.connections import Sessions
from app.database.tables import Image, VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import ImageRejected, ImageSearchError
from app.ingest.admission import Admission, Admitted
from app.ingest.further_pages import first_page, read_further_pages
from app.ingest.upload_stages import Duplicate, Outcome, PreparedUpload, Upload, Written
from app.pictures.decoding import Picture, decode
from app.pictures.formats import type_and_suffix
from app.sources.interfaces import S3_SCHEME
from app.sources.sidecars.annotations import Annotation
from app.sources.source_access import Sources
from app.storage.disk import STORE_SCHEME, Disk, UploadStore
from app.vectors import Vectors

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels


@dataclass(frozen=True)
class Uploads:
    """Adds uploaded pictures to one index; `disk` is its collection's part of the store."""

    sessions: Sessions
    encoder: ResidentModel
    index: VectorIndex
    disk: Disk
    upload_store: UploadStore
    sources: Sources
    max_megapixels: float
    rules: MetadataRules
    admission: Admission

    def store(
        self, files: Sequence[Upload], caption: str | None, metadata: Mapping[str, Any]
    ) -> list[Outcome]:
        """Store and index pictures; one outcome per file, in their order.

        Bytes that are known, or occur twice in one request, are stored once. If one of our errors
        is raised, such as StorageUnwritable for the last file, none of the new files stays. Raises
        AnnotationInvalid where the metadata do not fit the collection's fields.
        """
        annotation = Annotation(caption, dict(metadata))
        with self.sessions.begin() as session:
            check_values(session, self.index.collection_id, metadata)
            all_pages = collections.indexes_all_pages(session, self.index.collection_id)
        drafts: list[Outcome | PreparedUpload] = []
        try:
            for file in files:
                draft = self._attempt(file, annotation, all_pages)
                drafts.append(draft)
            written = self._index(drafts)
        except ImageSearchError:
            self.remove_files(drafts)
            raise
        self.remove_refused(drafts, written)
        return [
            draft if isinstance(draft, Outcome) else _outcome(file, draft, written)
            for file, draft in zip(files, drafts, strict=True)
        ]

    def _index(self, drafts: Sequence[Outcome | PreparedUpload]) -> dict[bytes, Written]:
        """Encode and write those that are new; returns what `write` does."""
        fresh = {one.new.content_hash: one for one in drafts if isinstance(one, PreparedUpload)}
        chosen = [fresh[content_hash] for content_hash in sorted(fresh)]
        vectors = self._encode([draft.pixels for draft in chosen])
        pages = [
            dict(zip(draft.pages, self._encode(list(draft.pages.values())), strict=True))
            for draft in chosen
        ]
        return self.admission.write(lambda session: self.write(session, chosen, vectors, pages))

    def _attempt(
        self, file: Upload, annotation: Annotation, all_pages: bool
    ) -> Outcome | PreparedUpload:
        if known := self.add_duplicate(file.data, annotation):
            return Outcome(file.name, "duplicate", known.image, updated=known.updated)
        try:
            picture = decode(file.data, self.max_megapixels)
        except ImageRejected as error:
            return Outcome(file.name, "refused", error=error)
        new = self.keep(file.name, file.data, picture, annotation)
        prepare = self.encoder.prepare
        pages = first_page(picture)
        if all_pages:
            pages = read_further_pages(file.data, picture, self.max_megapixels, prepare)
        new = replace(new, frame_times=pages.times)
        pixels = prepare(picture.image)
        return PreparedUpload(new, annotation, lambda: file.data, pixels, pages.pixels)

    def known(self, data: bytes) -> Image | None:
        """The picture with exactly these bytes, if its file exists."""
        content_hash = hashlib.sha256(data).digest()
        with self.sessions.begin() as session:
            known = image_rows.find_by_hash(session, self.index.collection_id, content_hash)
        return known if known and self._has_file(known) else None

    def find_duplicate(self, data: bytes, annotation: Annotation) -> Duplicate | None:
        """The known picture with these bytes, as `add_duplicate` would update it."""
        known = self.known(data)
        if known is None:
            return None
        return Duplicate(known, upload_copies.is_changed_by(known, annotation))

    def add_duplicate(self, data: bytes, annotation: Annotation) -> Duplicate | None:
        """The known picture with these bytes, with what was sent merged; None if there is none.

        If it is in a folder or bucket, the bytes are kept too: its file is not ours, and may go.
        """
        found = self.find_duplicate(data, annotation)
        if found is None:
            return None
        known, copy = found.image, None
        if not known.stored_path.startswith(STORE_SCHEME):
            _, suffix = type_and_suffix(known.format)
            name = known.content_hash.hex() + suffix
            copy = self.upload_store.stored_path(self.disk.put(name, data))
        with self.sessions.begin() as session:
            image_rows.lock_content(session, known.content_hash)
            if copy is not None and not self.disk.path(name).exists():
                self.disk.put(name, data)  # it was deleted before we had the lock
            merged = upload_copies.add(session, known, copy, annotation)
        return None if merged is None else found._replace(image=merged)

    def keep(self, name: str, data: bytes, picture: Picture, annotation: Annotation) -> NewImage:
        """Store the file that was decoded to `picture`; returns the row to write."""
        content_hash = hashlib.sha256(data).hexdigest()
        _, suffix = type_and_suffix(picture.format)
        path = self.upload_store.stored_path(self.disk.put(content_hash + suffix, data))
        new = new_image(path, content_hash, data, picture, annotation, rules=self.rules)
        return replace(new, origin=name)

    def remove_files(self, found: Sequence[object]) -> None:
        """Delete the files of those that are drafts, unless there is a row with the same bytes."""
        for draft in found:
            if isinstance(draft, PreparedUpload):
                content_hash = draft.new.content_hash
                with self.sessions.begin() as session:
                    image_rows.lock_content(session, content_hash)
                    if not image_rows.has_content(session, self.index.collection_id, content_hash):
                        self.disk.delete(self.disk.path(Path(draft.new.path).name))

    def remove_refused(self, found: Sequence[object], written: Mapping[bytes, Written]) -> None:
        """Delete the files of drafts that a gate has refused."""
        drafts = [one for one in found if isinstance(one, PreparedUpload)]
        refused = [one for one in drafts if written[one.new.content_hash].status == "refused"]
        self.remove_files(refused)

    def write(
        self,
        session: Session,
        drafts: Sequence[PreparedUpload],
        vectors: Vectors,
        pages: Sequence[Mapping[int, Vectors]],
    ) -> dict[bytes, Written]:
        """Write rows with their vectors, float32 (len(drafts), dimensions), and those of `pages`.

        Returns what became of each by content hash; the caller deletes the files of those that were
        refused once the transaction has ended. `drafts` must be sorted by content hash, without
        duplicates, so that two callers never deadlock.
        """
        written: dict[bytes, Written] = {}
        for draft in drafts:
            image_rows.lock_content(session, draft.new.content_hash)
            known = image_rows.find_by_hash(
                session, self.index.collection_id, draft.new.content_hash
            )
            name = Path(draft.new.path).name
            if not self.disk.path(name).exists():  # it was deleted before we had the lock
                self.disk.put(name, draft.read())
            if known and self._has_file(known):  # somebody else was faster
                ours = known.stored_path.startswith(STORE_SCHEME)
                copy = None if ours else draft.new.path
                merged = upload_copies.add(session, known, copy, draft.said) or known
                updated = upload_copies.is_changed_by(known, draft.said)
                written[known.content_hash] = Written("duplicate", merged, updated=updated)
            elif known:  # its file is gone: this one replaces it
                image_rows.move_image(session, known, draft.new.path, draft.new.etag)
                placed = image_rows.get_image(session, known.id)
                merged = upload_copies.add(session, placed, None, draft.said) or placed
                written[known.content_hash] = Written("stored", merged)
        fresh = [n for n, draft in enumerate(drafts) if draft.new.content_hash not in written]
        new = [drafts[n].new for n in fresh]
        admitted = self.admission.admit(session, new, vectors[fresh], [pages[n] for n in fresh])
        for one, became in zip(new, admitted, strict=True):
            written[one.content_hash] = _written(became)
        return written

    def _has_file(self, image: Image) -> bool:
        """Assumed of a file in a bucket: no network calls within a transaction.

        Not of one in another store: should that be lost, sending the picture again restores it.
        """
        path = image.stored_path
        if path.startswith(S3_SCHEME):
            return True
        return not self.sources.is_elsewhere(path) and self.sources.exists(path)

    def _encode(self, pixels: "Sequence[Pixels]") -> Vectors:
        """Encode after searches, before indexing: shape (len(pixels), dimensions)."""
        rows = [self.encoder.submit([one], Priority.UPLOAD) for one in pixels]
        nothing = np.empty((0, self.index.dimensions), np.float32)
        return np.concatenate([nothing, *(row.result() for row in rows)])


def _written(became: Admitted) -> Written:
    if became.image is None:
        return Written("refused", None, became.verdict)
    return Written("held" if became.verdict else "stored", became.image, became.verdict)


def _outcome(file: Upload, draft: PreparedUpload, written: dict[bytes, Written]) -> Outcome:
    """`stored` for the first file with these bytes, `duplicate` for any further one.

    Those of a picture that a gate stops are all alike.
    """
    one = written[draft.new.content_hash]
    if one.status == "refused" and one.verdict:
        return Outcome(file.name, "refused", error=one.verdict.refusal())
    if one.verdict:
        return Outcome(file.name, "held", one.image, note=one.verdict.note())
    written[draft.new.content_hash] = Written("duplicate", one.image)
    return Outcome(file.name, one.status, one.image, updated=one.updated)
