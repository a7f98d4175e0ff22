"""Fills a generation with the vectors that it lacks: copied where there are any, else embedded.

What it lacks is found by a query each time, so that a kill at any moment loses one batch of work.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.stored_originals import READ_ERRORS, StoredOriginals
from app.database.connections import Sessions
from app.database.tables import REGION_ANNOTATORS, Regions, VectorIndex
from app.encoders.batching import Priority
from app.encoders.resident_model import ResidentModel
from app.errors import AnnotatorUnavailable, Interrupted, own_fault
from app.index import generations, missing_vectors, regions
from app.index.embeddings import put_pages, put_vectors
from app.index.missing_vectors import MissingPicture
from app.index.regions import Region
from app.index.vector_indexes import require_present
from app.ingest.batch_indexing import ReadingPools, results_of
from app.ingest.further_pages import read_further_pages
from app.pictures.crops import Box
from app.pictures.decoding import PillowImage, decode
from app.understanding.annotators import annotation_rows, annotator_rows
from app.understanding.annotators.annotation_rows import Outcome
from app.understanding.regions.region_finders import MOST_CROPS, Crop, RegionFinders
from app.vectors import Vectors, check_vectors

if TYPE_CHECKING:
    from app.encoders.interfaces import Pixels

log = logging.getLogger(__name__)

COPIED = 1_000  # vectors in one transaction

Decoded = tuple[MissingPicture, "dict[int | Box, Pixels]"]
"""A picture's pages, by their numbers from 1, and regions of the first, by their boxes."""
Encoded = list[tuple[MissingPicture, dict[int | Box, Vectors]]]
"""The same as vectors, float32 (dimensions,)."""


@dataclass(frozen=True)
class Parts:
    """What is embedded of a picture besides its first page: further pages, and what `find` finds.

    `find` is None if regions are off, or what finds them is not available. `own_regions` are those
    of the generation alone: it is noted of each picture that they were looked for, so that nobody
    does so again once they are active.
    """

    all_pages: bool = False
    find: Callable[[PillowImage], Sequence[Crop]] | None = None
    own_regions: Regions | None = None


WHOLE = Parts()  # nothing else


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
    originals: StoredOriginals
    pools: ReadingPools
    finders: RegionFinders
    encoder_of: Callable[[VectorIndex], ResidentModel]
    batch_size: int
    stop: threading.Event

    def run(self, index: VectorIndex, record: Record) -> bool:
        """Look through all pictures once; whether anything was added or found unreadable.

        Raises IndexGone, Interrupted, ModelUnavailable, and what `record` raises.
        """
        after, is_changed = 0, False
        with self.sessions.begin() as session:
            own_regions = generations.own_regions(session, index)
        while pictures := self._missing(index, after):
            after = pictures[-1].id
            left = self._copied(index, pictures, record, own_regions)
            is_changed |= len(left) < len(pictures)
            parts = self.parts_of(index.collection_id, own_regions)
            for some in self.batches(left, parts):
                self._check_stop()
                is_changed |= self._embed(index, some, parts, record)
        return is_changed

    def check_regions(self, kind: Regions | None) -> None:
        """Raise AnnotatorUnavailable if such regions cannot be found here."""
        if kind is not None and kind != "off":
            self.finders.of(kind)

    def parts_of(self, collection_id: int, own_regions: Regions | None) -> Parts:
        """What is embedded of each picture of a collection, in a generation with these regions.

        Raises AnnotatorUnavailable if its own ones cannot be found here.
        """
        with self.sessions.begin() as session:
            all_pages = collections.indexes_all_pages(session, collection_id)
            turned_on = annotator_rows.of_collection(session, collection_id)
        if own_regions is not None:
            find = None if own_regions == "off" else self.finders.of(own_regions)
            return Parts(all_pages, find, own_regions)
        kinds = [one.annotator for one in turned_on if one.annotator in REGION_ANNOTATORS]
        try:
            find = self.finders.of(kinds[0]) if kinds else None
        except AnnotatorUnavailable:
            find = None  # they follow once it is there
        return Parts(all_pages, find)

    def batches(
        self, pictures: Sequence[MissingPicture], parts: Parts
    ) -> Iterator[Sequence[MissingPicture]]:
        """Pictures in batches, smaller ones where each has regions: they are in memory together."""
        size = max(1, self.batch_size // MOST_CROPS) if parts.find else self.batch_size
        for start in range(0, len(pictures), size):
            yield pictures[start : start + size]

    def _missing(self, index: VectorIndex, after: int) -> list[MissingPicture]:
        self._check_stop()
        with self.sessions.begin() as session:
            return missing_vectors.missing(session, index, after, COPIED)

    def _check_stop(self) -> None:
        if self.stop.is_set():
            raise Interrupted("The worker stops.")

    def _copied(
        self,
        index: VectorIndex,
        pictures: Sequence[MissingPicture],
        record: Record,
        own_regions: Regions | None,
    ) -> list[MissingPicture]:
        """Copy what other generations of the same model have; returns the others."""
        with self.sessions.begin() as session:
            copied = copy_from_siblings(session, index, pictures, own_regions)
            if copied:
                record(session, len(copied), [])
        return [picture for picture in pictures if picture.id not in copied]

    def _embed(
        self, index: VectorIndex, pictures: Sequence[MissingPicture], parts: Parts, record: Record
    ) -> bool:
        vectors, unreadable = self.embed(self.encoder_of(index), pictures, parts)
        with self.sessions.begin() as session:
            written = _put(session, index, vectors)
            if parts.own_regions is not None:
                self._note(session, index, parts.own_regions, written)
                lost = [one.picture for one in unreadable]
                copy_from_siblings(session, index, lost, None)  # without regions
            if written or unreadable:
                record(session, len(written), unreadable)
        return bool(written or unreadable)

    def _note(
        self, session: Session, index: VectorIndex, own_regions: Regions, written: Encoded
    ) -> None:
        """Note that regions were looked for, unless the collection has them too by now."""
        turned_on = annotator_rows.of_collection(session, index.collection_id)
        if own_regions == "off" or own_regions in {one.annotator for one in turned_on}:
            return
        version = self.finders.version_in(own_regions, index.id)
        for picture, parts in written:
            has_regions = any(isinstance(part, tuple) for part in parts)
            outcome: Outcome = "read" if has_regions else "skipped"
            noted = (own_regions, version, picture.content_hash, outcome)
            annotation_rows.note(session, picture.id, *noted)

    def embed(
        self, encoder: ResidentModel, pictures: Sequence[MissingPicture], parts: Parts = WHOLE
    ) -> tuple[Encoded, list[Unreadable]]:
        """Read the originals of a batch and embed them. Raises Interrupted, ModelUnavailable."""
        read = results_of(
            [
                self.pools.decoding.submit(self._read, encoder, picture, parts)
                for picture in pictures
            ],
            self.stop,
        )
        unreadable = [one for one in read if isinstance(one, Unreadable)]
        decoded = [one for one in read if not isinstance(one, Unreadable)]
        return self._encoded(encoder, decoded), unreadable

    def _encoded(self, encoder: ResidentModel, decoded: Sequence[Decoded]) -> Encoded:
        waiting = [
            (picture, part, encoder.submit([pixels], Priority.INDEXING))
            for picture, parts in decoded
            for part, pixels in parts.items()
        ]
        rows = results_of([encoding for _, _, encoding in waiting], self.stop)
        found: Encoded = [(picture, {}) for picture, _ in decoded]
        by_id = {picture.id: vectors for picture, vectors in found}
        for (picture, part, _), row in zip(waiting, rows, strict=True):
            by_id[picture.id][part] = row[0]
        return found

    def _read(
        self, encoder: ResidentModel, picture: MissingPicture, parts: Parts
    ) -> "Decoded | Unreadable":
        """During searches half of the cores are left to them."""
        with self.pools.lanes if encoder.is_searched() else nullcontext():
            try:
                return picture, self._prepared(encoder, picture, parts)
            except READ_ERRORS as error:
                return Unreadable(picture, str(error))
            except Exception as error:
                log.exception("picture %s cannot be embedded", picture.id)
                return Unreadable(picture, own_fault(error))

    def _prepared(
        self, encoder: ResidentModel, picture: MissingPicture, parts: Parts
    ) -> "dict[int | Box, Pixels]":
        """The original and its parts, decoded for the model. Raises READ_ERRORS, Busy."""
        data, limit = self.originals.read(picture), self.originals.limits.max_megapixels
        times = picture.frame_times  # its pages stay the frames that they are
        decoded = decode(data, limit, is_background=True, seconds=times[0] if times else None)
        found: dict[int | Box, Pixels] = {1: encoder.prepare(decoded.image)}
        if parts.find is not None:
            found |= {box: encoder.prepare(crop) for box, crop in parts.find(decoded.image)}
        is_unchosen = decoded.seconds is not None and times is None  # its frames: reading it does
        if parts.all_pages and not is_unchosen:
            further = read_further_pages(data, decoded, limit, encoder.prepare, times)
            found.update(further.pixels.items())
        return found


def _put(session: Session, index: VectorIndex, encoded: Encoded) -> Encoded:
    """Write the vectors of pictures that have not changed; returns these."""
    require_present(session, index)
    ours = set(missing_vectors.lock_unchanged(session, index, [one for one, _ in encoded]))
    found = {picture.id: parts for picture, parts in encoded if picture.id in ours}
    if found:
        first = np.stack([parts[1] for parts in found.values()])
        check_vectors(first, index.space)
        put_vectors(session, index, list(found), first)
        further = {
            image_id: {
                part: row for part, row in parts.items() if isinstance(part, int) and part > 1
            }
            for image_id, parts in found.items()
        }
        put_pages(session, index, further)
        for image_id, parts in found.items():
            of_boxes = [Region(part, row) for part, row in parts.items() if isinstance(part, tuple)]
            if of_boxes:
                regions.replace(session, index, image_id, of_boxes)
    return [one for one in encoded if one[0].id in found]


def copy_from_siblings(
    session: Session,
    index: VectorIndex,
    pictures: Sequence[MissingPicture],
    own_regions: Regions | None,
) -> set[int]:
    """Copy vectors from generations of the same model; the ids of pictures that have one now.

    If the index is to have regions of its own, only from those that have the same.
    """
    sources = missing_vectors.siblings(session, index, own_regions)
    if not sources or not pictures:
        return set()
    require_present(session, index)
    ours = missing_vectors.lock_unchanged(session, index, pictures)
    for source in sources:
        missing_vectors.copy_vectors(session, source, index, ours)
    return missing_vectors.covered(session, index, ours)
