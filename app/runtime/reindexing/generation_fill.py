"""Fills a generation with the vectors that it lacks: copied where there are any, else embedded.

What it lacks is found by a query each time, so that a kill at any moment loses one batch of work.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy.orm import Session

from app.catalog import collections
from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import (
    ImageRejected,
    ImageVanished,
    Interrupted,
    SourceUnavailable,
    SourceUnreadable,
    own_fault,
)
from app.index import missing_vectors
from app.index.embeddings import put_pages, put_vectors
from app.index.missing_vectors import MissingPicture
from app.index.vector_indexes import require_present
from app.ingest.batch_indexing import ReadingPools, results_of
from app.ingest.further_pages import read_further_pages
from app.pictures.decoding import PictureLimits, decode
from app.sources.source_access import Sources
from app.vectors import Vectors, check_vectors

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels

log = logging.getLogger(__name__)

COPIED = 1_000  # vectors in one transaction
READ_ERRORS = (ImageRejected, SourceUnavailable, SourceUnreadable)

Decoded = tuple[MissingPicture, "dict[int, Pixels]"]
"""A picture and its pages, by their numbers from 1."""
Encoded = list[tuple[MissingPicture, dict[int, Vectors]]]
"""The same as vectors, float32 (dimensions,)."""


@dataclass(frozen=True)
class Unreadable:
    """A picture whose original could not be read, and why."""

    picture: MissingPicture
    reason: str


Record = Callable[[Session, int, Sequence[Unreadable]], None]
"""Writes down how many vectors were added, and what was unreadable, in their transaction."""


@dataclass(frozen=True)
class GenerationFill:
    """Fills generations on the calling thread; `stop` interrupts.

    `encoder_of` gives an index its model, and raises ModelUnavailable.
    """

    sessions: Sessions
    sources: Sources
    limits: PictureLimits
    pools: ReadingPools
    encoder_of: Callable[[VectorIndex], ResidentModel]
    batch_size: int
    stop: threading.Event

    def run(self, index: VectorIndex, record: Record) -> bool:
        """Look through all pictures once; whether anything was added or found unreadable.

        Raises IndexGone, Interrupted, ModelUnavailable, and what `record` raises.
        """
        after, is_changed = 0, False
        while pictures := self._missing(index, after):
            after = pictures[-1].id
            left = self._copied(index, pictures, record)
            is_changed |= len(left) < len(pictures)
            for start in range(0, len(left), self.batch_size):
                self._check_stop()
                is_changed |= self._embed(index, left[start : start + self.batch_size], record)
        return is_changed

    def _missing(self, index: VectorIndex, after: int) -> list[MissingPicture]:
        self._check_stop()
        with self.sessions.begin() as session:
            return missing_vectors.missing(session, index, after, COPIED)

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Interrupted("The worker stops.")

    def _copied(
        self, index: VectorIndex, pictures: Sequence[MissingPicture], record: Record
    ) -> list[MissingPicture]:
        """Copy what other generations of the same model have; returns the others."""
        with self.sessions.begin() as session:
            copied = copy_from_siblings(session, index, pictures)
            if copied:
                record(session, len(copied), [])
        return [picture for picture in pictures if picture.id not in copied]

    def _embed(
        self, index: VectorIndex, pictures: Sequence[MissingPicture], record: Record
    ) -> bool:
        with self.sessions.begin() as session:
            all_pages = collections.indexes_all_pages(session, index.collection_id)
        vectors, unreadable = self.embed(self.encoder_of(index), pictures, all_pages=all_pages)
        with self.sessions.begin() as session:
            added = _put(session, index, vectors)
            if added or unreadable:
                record(session, added, unreadable)
        return bool(added or unreadable)

    def embed(
        self, encoder: ResidentModel, pictures: Sequence[MissingPicture], *, all_pages: bool
    ) -> tuple[Encoded, list[Unreadable]]:
        """Read the originals of a batch and embed them. Raises Interrupted, ModelUnavailable."""
        read = results_of(
            [
                self.pools.decoding.submit(self._read, encoder, picture, all_pages)
                for picture in pictures
            ],
            self.stop,
        )
        unreadable = [one for one in read if isinstance(one, Unreadable)]
        decoded = [one for one in read if not isinstance(one, Unreadable)]
        return self._encoded(encoder, decoded), unreadable

    def _encoded(self, encoder: ResidentModel, decoded: Sequence[Decoded]) -> Encoded:
        waiting = [
            (picture, page, encoder.submit([pixels], Priority.INDEXING))
            for picture, pages in decoded
            for page, pixels in pages.items()
        ]
        rows = results_of([encoding for _, _, encoding in waiting], self.stop)
        found: Encoded = [(picture, {}) for picture, _ in decoded]
        by_id = {picture.id: vectors for picture, vectors in found}
        for (picture, page, _), row in zip(waiting, rows, strict=True):
            by_id[picture.id][page] = row[0]
        return found

    def _read(
        self, encoder: ResidentModel, picture: MissingPicture, all_pages: bool
    ) -> "Decoded | Unreadable":
        """During searches half of the cores are left to them."""
        with self.pools.lanes if encoder.is_searched() else nullcontext():
            try:
                return picture, self.pages(encoder, picture, all_pages)
            except READ_ERRORS as error:
                return Unreadable(picture, str(error))
            except Exception as error:
                log.exception("picture %s cannot be embedded", picture.id)
                return Unreadable(picture, own_fault(error))

    def pages(
        self, encoder: ResidentModel, picture: MissingPicture, all_pages: bool
    ) -> "dict[int, Pixels]":
        """The original, decoded for the model: page 1, or all pages. Raises READ_ERRORS, Busy."""
        data, limit = self._original(picture), self.limits.max_megapixels
        decoded = decode(data, limit, is_background=True)
        first = {1: encoder.prepare(decoded.image)}
        if not all_pages:
            return first
        return {**first, **read_further_pages(data, decoded, limit, encoder.prepare)}

    def _original(self, picture: MissingPicture) -> bytes:
        """Its bytes as they were indexed, from its own place or from an upload of the same."""
        try:
            data = self.sources.read(picture.stored_path, self.limits.max_file_bytes)
        except READ_ERRORS:
            if picture.upload_copy is None:
                raise
            data = self.sources.read(picture.upload_copy, self.limits.max_file_bytes)
        if hashlib.sha256(data).digest() != picture.content_hash:
            raise ImageVanished("Its file has changed since it was indexed: index it again.")
        return data


def _put(session: Session, index: VectorIndex, encoded: Encoded) -> int:
    """Write the vectors of pictures that have not changed; returns of how many."""
    require_present(session, index)
    ours = set(missing_vectors.lock_unchanged(session, index, [one for one, _ in encoded]))
    found = {picture.id: pages for picture, pages in encoded if picture.id in ours}
    if found:
        first = np.stack([pages[1] for pages in found.values()])
        check_vectors(first, index.space)
        put_vectors(session, index, list(found), first)
        further = {
            image_id: {page: row for page, row in pages.items() if page > 1}
            for image_id, pages in found.items()
        }
        put_pages(session, index, further)
    return len(found)


def copy_from_siblings(
    session: Session, index: VectorIndex, pictures: Sequence[MissingPicture]
) -> set[int]:
    """Copy vectors from generations of the same model; the ids of pictures that have one now."""
    sources = missing_vectors.siblings(session, index)
    if not sources or not pictures:
        return set()
    require_present(session, index)
    ours = missing_vectors.lock_unchanged(session, index, pictures)
    for source in sources:
        missing_vectors.copy_vectors(session, source, index, ours)
    return missing_vectors.covered(session, index, ours)
