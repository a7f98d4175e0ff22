"""Indexing a folder: prepare ahead on threads, encode, write, batch by batch.

Each batch is one transaction of rows and vectors, so that a kill at any moment leaves whole
pictures, and the next run goes on from there.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from app import catalog
from app.batching import Priority
from app.catalog import KnownFile, NewImage
from app.db import Sessions, held_lock
from app.encoders.resident import Resident
from app.errors import ImageRejected, SourceUnreadable
from app.pictures import decode
from app.sources import SourceFile, folder_files, stored_path
from app.tables import VectorIndex
from app.vectors import Vectors

if TYPE_CHECKING:
    from app.encoders.openclip import Pixels

LOOK_AHEAD_BATCHES = 3  # decoded and waiting: the model never waits, memory stays bounded
DECODING_THREADS = max(2, os.cpu_count() or 2)

Progress = Callable[[int, int], object]
"""Called with the number of files dealt with so far, and of all."""


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
    """A picture on its way to the encoder; `known` where its path had another content."""

    new: NewImage
    pixels: "Pixels"
    known: KnownFile | None = None


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
    root: Path
    max_megapixels: float
    max_file_bytes: int
    batch_size: int

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

    def build_graph(self) -> None:
        """Build the index's HNSW graph unless it is there."""
        with self.sessions.begin() as session:
            catalog.build_hnsw(session, self.index)


class _FolderRun:
    """One pass over a folder: prepare ahead on threads, encode, write, batch by batch."""

    def __init__(
        self, ingest: Ingest, folder: Path, progress: Progress, stop: threading.Event
    ) -> None:
        self._ingest = ingest
        self._collection_id = ingest.index.collection_id
        self._folder = folder
        self._prefix = "" if folder == ingest.root else stored_path(folder, ingest.root) + "/"
        self._files = list(folder_files(folder, ingest.root))
        self._progress = progress
        self._stop = stop
        self._report = Report()
        self._claimed: set[int] = set()  # rows of vanished files that were found elsewhere
        self._claiming = threading.Lock()

    def run(self, prune: bool) -> Report:
        # One run at a time: two would insert each other's paths.
        with held_lock(self._ingest.sessions, f"folder run {self._collection_id}"):
            self._index()
            if not self._stop.is_set():
                self._settle(prune)
        return self._report

    def _index(self) -> None:
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

    def _is_unchanged(self, file: SourceFile) -> bool:
        known = self._known.get(file.path)
        return known is not None and known.etag == file.etag

    def _prepared(self, files: list[SourceFile]) -> Iterator[_Prepared]:
        """Prepare on threads, a bounded look-ahead in front of whoever takes the results."""
        look_ahead = LOOK_AHEAD_BATCHES * self._ingest.batch_size
        with ThreadPoolExecutor(DECODING_THREADS, thread_name_prefix="decode") as pool:
            waiting: deque[Future[_Prepared]] = deque()
            for file in files:
                waiting.append(pool.submit(self._prepare, file))
                if len(waiting) >= look_ahead:
                    yield waiting.popleft().result()
                if self._stop.is_set():
                    pool.shutdown(cancel_futures=True)
                    return
            while waiting and not self._stop.is_set():
                yield waiting.popleft().result()
            pool.shutdown(cancel_futures=True)

    def _prepare(self, file: SourceFile) -> _Prepared:
        """Read and decode one file. Whatever is wrong with it becomes a Refusal."""
        known = self._known.get(file.path)
        try:
            file.path.encode()
            data = file.read(self._ingest.max_file_bytes)
            content_hash = hashlib.sha256(data).digest()
            if known and known.content_hash == content_hash:
                return _Kept(file, known)
            if not known and (vanished := self._claim_vanished(content_hash)):
                return _Kept(file, vanished)
            picture = decode(data, self._ingest.max_megapixels)
        except ImageRejected as error:
            return Refusal(file.path, str(error))
        except UnicodeEncodeError:
            shown = file.path.encode(errors="backslashreplace").decode()
            return Refusal(shown, "The file's name is not valid UTF-8; rename it.")
        except OSError as error:
            return Refusal(file.path, f"The file cannot be read: {error.strerror}.")
        new = catalog.new_image(file.path, file.etag, data, picture)
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
        """Whether the file is there; one in a folder that may not be looked into counts as such."""
        try:
            (self._ingest.root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def _encoded(
        self, prepared: Iterator[_Prepared]
    ) -> Iterator[tuple[list[_Prepared], Vectors | None]]:
        """Group into batches; while one is written, the next is in the encoder."""
        running: tuple[list[_Prepared], Future[Vectors] | None] | None = None
        while group := list(islice(prepared, self._ingest.batch_size)):
            pixels = [one.pixels for one in group if isinstance(one, _Ready)]
            future = self._ingest.encoder.submit(pixels, Priority.INDEXING) if pixels else None
            if running:
                yield _finished(*running)
            running = group, future
        if running:
            yield _finished(*running)

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

    def _settle(self, prune: bool) -> None:
        """Name (and prune) what is gone, and make sure that the HNSW graph is there."""
        gone = [
            known
            for known in self._known.values()
            if known.id not in self._claimed and not self._exists(known.path)
        ]
        self._report.vanished = sorted(known.path for known in gone)
        if prune and gone:
            self._prune(gone)
        self._ingest.build_graph()

    def _prune(self, gone: list[KnownFile]) -> None:
        if not self._files:
            raise SourceUnreadable(
                f"{self._folder} is empty, but {len(gone)} pictures were known in it: is its disk "
                "mounted? Nothing was forgotten."
            )
        with self._ingest.sessions.begin() as session:
            catalog.delete_images(session, [known.id for known in gone])
        self._report.pruned = len(gone)


def _finished(
    group: list[_Prepared], future: Future[Vectors] | None
) -> tuple[list[_Prepared], Vectors | None]:
    return group, None if future is None else future.result()
