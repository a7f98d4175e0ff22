"""From bytes to a searchable row: uploads, and folders in batches.

One picture goes: bytes, decoded picture, stored file, vector, row. The row and its vector are
written in one transaction once the file is safe on disk, so that a kill at any moment leaves
whole pictures or none.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from app import catalog
from app.batching import Priority
from app.catalog import KnownFile, NewImage
from app.db import Sessions
from app.encoders.resident import Resident
from app.errors import ImageRejected
from app.pictures import FORMATS, Picture, decode
from app.sources import SourceFile, folder_files, stored_path
from app.storage import Disk
from app.tables import Image, VectorIndex
from app.vectors import Vectors

if TYPE_CHECKING:
    from app.encoders.openclip import Pixels

LOOK_AHEAD_BATCHES = 3  # decoded and waiting: the model never waits, memory stays bounded
DECODING_THREADS = max(2, os.cpu_count() or 2)

Status = Literal["stored", "duplicate", "refused"]
Progress = Callable[[int, int], object]
"""Called with the number of files dealt with so far, and of all."""


@dataclass(frozen=True)
class Upload:
    """One file of a request: the name its sender gave it, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of one upload: `image` unless it was refused, `error` if it was."""

    name: str
    status: Status
    image: Image | None = None
    error: ImageRejected | None = None


@dataclass(frozen=True)
class Refusal:
    """A file of a folder that was not indexed, and why."""

    path: str
    reason: str


@dataclass
class Report:
    """What a run over a folder did; `vanished` are known paths whose file is gone."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    pruned: int = 0
    refused: list[Refusal] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)

    @property
    def searchable(self) -> int:
        """How many of the folder's files can be found now."""
        return self.added + self.changed + self.moved + self.unchanged


@dataclass(frozen=True)
class _Ready:
    """A picture on its way to the encoder.

    `known` where its path had another content; `file` where it is an upload.
    """

    new: NewImage
    pixels: "Pixels"
    known: KnownFile | None = None
    upload: Upload | None = None


@dataclass(frozen=True)
class _Kept:
    """A file whose content has a row already: under this path, or under one that is gone."""

    file: SourceFile
    known: KnownFile


_Prepared = _Ready | _Kept | Refusal


@dataclass(frozen=True)
class Ingest:
    """Brings pictures into one index.

    `root` is where relative paths start; `max_file_bytes` bounds a file read from a folder.
    """

    sessions: Sessions
    encoder: Resident
    index: VectorIndex
    uploads: Disk
    root: Path
    max_megapixels: float
    max_file_bytes: int
    batch_size: int

    def store(
        self, files: Iterable[Upload], caption: str | None, metadata: Mapping[str, Any]
    ) -> list[Outcome]:
        """Keep uploaded pictures and index them; one outcome a file, in their order.

        Bytes that are known, or come twice in one request, are stored once.
        """
        drafts = [self._draft(file, caption, metadata) for file in files]
        ready = {one.new.content_hash: one for one in drafts if isinstance(one, _Ready)}
        written = self._write_uploads(list(ready.values()))
        outcomes = []
        for file, draft in zip(files, drafts, strict=True):
            if isinstance(draft, _Ready):
                # The first to ask takes "stored" away; the same bytes again are a duplicate.
                status, image = written[draft.new.content_hash]
                written[draft.new.content_hash] = "duplicate", image
                draft = Outcome(file.name, status, image)
            outcomes.append(draft)
        return outcomes

    def _draft(
        self, file: Upload, caption: str | None, metadata: Mapping[str, Any]
    ) -> Outcome | _Ready:
        """Decode, look for the bytes in the catalog, keep the file: all but vector and row."""
        try:
            picture = decode(file.data, self.max_megapixels)
        except ImageRejected as error:
            return Outcome(file.name, "refused", error=error)
        content_hash = hashlib.sha256(file.data).digest()
        with self.sessions.begin() as session:
            known = catalog.find_by_hash(session, self.index.collection_id, content_hash)
        if known:
            return Outcome(file.name, "duplicate", known)
        _, suffix = FORMATS[picture.format]
        location = self.uploads.put(content_hash.hex() + suffix, file.data)
        new = _new_image(
            stored_path(location, self.root), content_hash.hex(), file.data, picture
        )
        new = replace(new, caption=caption, metadata=metadata)
        return _Ready(new, self.encoder.prepare(picture.image), upload=file)

    def _write_uploads(self, ready: list[_Ready]) -> dict[bytes, tuple[Status, Image]]:
        """One transaction for all: the bytes' status and row, by content hash."""
        vectors = self._encode_now([one.pixels for one in ready])
        written: dict[bytes, tuple[Status, Image]] = {}
        with self.sessions.begin() as session:
            fresh = []
            for position, one in sorted(enumerate(ready), key=lambda pair: pair[1].new.content_hash):
                catalog.lock_content(session, one.new.content_hash)  # sorted: no deadlock
                known = catalog.find_by_hash(
                    session, self.index.collection_id, one.new.content_hash
                )
                if known:  # another request was faster
                    written[one.new.content_hash] = "duplicate", known
                else:
                    self._ensure_kept(one)
                    fresh.append(position)
            new = [ready[position].new for position in fresh]
            for image in catalog.add_images(session, self.index, new, vectors[fresh]):
                written[image.content_hash] = "stored", image
        return written

    def _ensure_kept(self, one: _Ready) -> None:
        """A deletion between `put` and the lock may have taken the file: then write it again."""
        if one.upload:
            self.uploads.put((self.root / one.new.path).name, one.upload.data)

    def _encode_now(self, pixels: "Sequence[Pixels]") -> Vectors:
        """Encode in batches, before any waiting indexing."""
        parts = [
            self.encoder.submit(pixels[start : start + self.batch_size], Priority.INTERACTIVE)
            for start in range(0, len(pixels), self.batch_size)
        ]
        empty = np.empty((0, self.index.dimensions), np.float32)
        return np.concatenate([empty, *(part.result() for part in parts)])

    def index_folder(
        self,
        folder: Path,
        *,
        prune: bool = False,
        progress: Progress = lambda done, total: None,
        stop: threading.Event | None = None,
    ) -> Report:
        """Index the pictures below `folder` that are new or have changed.

        `prune` deletes the rows of files that are gone; `stop` ends the run after the batch
        at hand. Raises SourceUnreadable.
        """
        return _FolderRun(self, folder, progress, stop or threading.Event()).run(prune)


class _FolderRun:
    """One pass over a folder: prepare ahead on threads, encode, write, batch by batch."""

    def __init__(
        self, ingest: Ingest, folder: Path, progress: Progress, stop: threading.Event
    ) -> None:
        self._ingest = ingest
        self._collection_id = ingest.index.collection_id
        self._prefix = stored_path(folder, ingest.root) + "/"
        self._files = list(folder_files(folder, ingest.root))
        self._progress = progress
        self._stop = stop
        self._report = Report()
        self._claimed: set[int] = set()  # rows of vanished files that were found elsewhere
        self._claiming = threading.Lock()

    def run(self, prune: bool) -> Report:
        with self._ingest.sessions.begin() as session:
            self._known = catalog.known_files(session, self._collection_id, self._prefix)
        fresh = [file for file in self._files if not self._is_unchanged(file)]
        done = self._report.unchanged = len(self._files) - len(fresh)
        self._progress(done, len(self._files))
        if fresh:
            with self._ingest.sessions.begin() as session:
                catalog.drop_hnsw_if_empty(session, self._ingest.index)
        for group, vectors in self._encoded(self._prepared(fresh)):
            self._write(group, vectors)
            done += len(group)
            self._progress(done, len(self._files))
        if not self._stop.is_set():
            self._finish(prune)
        return self._report

    def _is_unchanged(self, file: SourceFile) -> bool:
        known = self._known.get(file.path)
        return known is not None and known.etag == file.etag

    def _prepared(self, files: list[SourceFile]) -> Iterator[_Prepared]:
        """Prepare on threads, a bounded look-ahead in front of whoever takes the results."""
        look_ahead = LOOK_AHEAD_BATCHES * self._ingest.batch_size
        with ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="decode") as pool:
            waiting: deque[Future[_Prepared]] = deque()
            for file in files:
                if self._stop.is_set():
                    break
                waiting.append(pool.submit(self._prepare, file))
                if len(waiting) >= look_ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _prepare(self, file: SourceFile) -> _Prepared:
        """Read and decode one file. Whatever is wrong with it becomes a Refusal."""
        known = self._known.get(file.path)
        try:
            data = file.read(self._ingest.max_file_bytes)
            content_hash = hashlib.sha256(data).digest()
            if known and known.content_hash == content_hash:
                return _Kept(file, known)
            if not known and (vanished := self._claim_vanished(content_hash)):
                return _Kept(file, vanished)
            picture = decode(data, self._ingest.max_megapixels)
        except ImageRejected as error:
            return Refusal(file.path, str(error))
        except OSError as error:
            return Refusal(file.path, f"The file cannot be read: {error.strerror}.")
        new = _new_image(file.path, file.etag, data, picture)
        return _Ready(new, self._ingest.encoder.prepare(picture.image), known)

    def _claim_vanished(self, content_hash: bytes) -> KnownFile | None:
        """A row with these bytes whose file is gone: the file was moved. Each is claimed once."""
        with self._ingest.sessions.begin() as session:
            same = catalog.files_with_content(session, self._collection_id, content_hash)
        with self._claiming:
            for known in same:
                if known.id not in self._claimed and not self._exists(known.path):
                    self._claimed.add(known.id)
                    return known
        return None

    def _exists(self, path: str) -> bool:
        return (self._ingest.root / path).exists()

    def _encoded(
        self, prepared: Iterator[_Prepared]
    ) -> Iterator[tuple[list[_Prepared], Vectors | None]]:
        """Group into batches; while one is written, the next is in the encoder."""
        running: tuple[list[_Prepared], Future[Vectors] | None] | None = None
        while group := list(islice(prepared, self._ingest.batch_size)):
            pixels = [one.pixels for one in group if isinstance(one, _Ready)]
            future = self._ingest.encoder.submit(pixels, Priority.BACKGROUND) if pixels else None
            if running:
                yield running[0], running[1] and running[1].result()
            running = group, future
        if running:
            yield running[0], running[1] and running[1].result()

    def _write(self, group: list[_Prepared], vectors: Vectors | None) -> None:
        ready = [one for one in group if isinstance(one, _Ready)]
        kept = [one for one in group if isinstance(one, _Kept)]
        with self._ingest.sessions.begin() as session:
            for one in kept:
                catalog.place_image(session, one.known.id, one.file.path, one.file.etag)
            if vectors is not None:
                new = [one.new for one in ready]
                catalog.add_images(session, self._ingest.index, new, vectors)
        moved = sum(one.known.path != one.file.path for one in kept)
        changed = sum(one.known is not None for one in ready)
        self._report.moved += moved
        self._report.unchanged += len(kept) - moved
        self._report.changed += changed
        self._report.added += len(ready) - changed
        self._report.refused += [one for one in group if isinstance(one, Refusal)]

    def _finish(self, prune: bool) -> None:
        """Name (and prune) what is gone, and make sure that the HNSW graph is there."""
        gone = [
            known
            for known in self._known.values()
            if known.id not in self._claimed and not self._exists(known.path)
        ]
        self._report.vanished = sorted(known.path for known in gone)
        with self._ingest.sessions.begin() as session:
            if prune:
                catalog.delete_images(session, [known.id for known in gone])
                self._report.pruned = len(gone)
            catalog.build_hnsw(session, self._ingest.index)


def _new_image(path: str, etag: str, data: bytes, picture: Picture) -> NewImage:
    return NewImage(
        path=path,
        content_hash=hashlib.sha256(data).digest(),
        etag=etag,
        bytes=len(data),
        width=picture.width,
        height=picture.height,
        format=picture.format,
    )
