"""Copy a bucket's objects into IMAGES_DIR: `make download-images`. A second run resumes."""

import fcntl
import hashlib
import json
import math
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from threading import Event, Lock

from tqdm import tqdm

from app.errors import EntryRefused, ImageSearchError, ResourceInUse, SettingsInvalid, StartError
from app.runtime.backing_services import open_buckets
from app.settings import Settings
from app.storage.buckets import Bucket, StoredObject
from app.storage.disk import PART
from scripts.command_line import run_command, sentences
from scripts.launch import INTERRUPTED

THREADS = 8
QUEUE = 2 * THREADS  # objects handed to the threads before more are listed
STOP_SECONDS = 2.0  # for the threads to finish once the command is told to stop
STATE = ".downloaded.jsonl"
PARTS = f"{PART}????????"  # the names that tempfile gives
NAME_BYTES = 255  # longest file name that all common file systems accept
MD5_DIGITS = 32


class State:
    """The objects already copied: a file with one line each, appended once the object is there."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._lock = Lock()
        self._known: dict[str, object] = {}
        file.seek(0)
        data = file.read()
        for line in data.splitlines():
            self._learn(line)
        if data and not data.endswith(b"\n"):
            file.write(b"\n")

    def knows(self, item: StoredObject) -> bool:
        """Whether the object has been copied in its present version."""
        return self._known.get(item.key) == [item.etag, item.size]

    def add(self, item: StoredObject) -> None:
        """Record that the object has been copied."""
        line = json.dumps({"key": item.key, "etag": item.etag, "size": item.size})
        with self._lock:
            self._file.write(line.encode() + b"\n")

    def _learn(self, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError):  # torn by a kill
            record = json.loads(line)
            self._known[record["key"]] = [record["etag"], record["size"]]


@contextmanager
def open_state(folder: Path) -> Iterator[State]:
    """The folder's state, held by one process at a time. Raises ResourceInUse or StartError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(folder / STATE, flags, 0o666)
    except OSError as error:
        raise StartError(
            f"{folder} (IMAGE_SEARCH_IMAGES_DIR) cannot be written: {error.strerror}."
        ) from None
    with FileIO(descriptor, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceInUse(f"Another process is copying to {folder}. Wait for it.") from None
        yield State(file)


@dataclass
class Paths:
    """Where below a folder each key's object goes; `folds` if the folder ignores case."""

    folder: Path
    folds: bool
    _taken: set[str] = field(default_factory=set)

    def take(self, key: str) -> Path:
        """Reserve the key's own path. Raises EntryRefused if it cannot have one, and OSError."""
        names = key.split("/")
        for name in names:
            _check_name(name)
        for depth in range(1, len(names)):
            self._check_folder("/".join(names[:depth]))
        path, identity = self.folder / key, self._identity(key)
        if path.is_symlink() or path.is_dir() or identity in self._taken:
            raise EntryRefused("A folder, a symbolic link or another key's file is in its place.")
        self._taken.add(identity)
        return path

    def _check_folder(self, way: str) -> None:
        place = self.folder / way
        if place.is_symlink():
            raise EntryRefused(f"{way} is a symbolic link.")
        if self._identity(way) in self._taken or (place.exists() and not place.is_dir()):
            raise EntryRefused(f"{way} is a file.")

    def _identity(self, way: str) -> str:
        return unicodedata.normalize("NFC", way).casefold() if self.folds else way


def _check_name(name: str) -> None:
    """Raises EntryRefused if a file cannot, or must not, have this name."""
    if name in ("", ".", ".."):
        raise EntryRefused("A part of its path is empty, . or ..")
    if "\\" in name or any(unicodedata.category(each) in ("Cc", "Cs") for each in name):
        raise EntryRefused("It has a backslash or a control character.")
    if len(name.encode()) > NAME_BYTES:
        raise EntryRefused(f"A name in it is longer than {NAME_BYTES} bytes.")
    if name.casefold() == STATE or name.casefold().startswith(PART):
        raise EntryRefused(f"{name} is a name that this command reserves for its own use.")


@dataclass
class Copier:
    """Copies objects in threads, counts the outcomes, and names the objects it could not copy."""

    bucket: Bucket
    paths: Paths
    state: State
    say: Callable[[str], None]
    downloaded: int = 0
    there: int = 0
    refused: int = 0
    failed: int = 0
    _stop: Event = field(default_factory=Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    _running: dict[Future[bool], StoredObject] = field(default_factory=dict)

    def run(self, objects: Iterable[StoredObject], most: float) -> Iterator[int]:
        """Copy until `most` objects are there, yielding the count. Raises as the listing does."""
        try:
            for item in objects:
                while self._running and len(self._running) >= min(QUEUE, most - self.present):
                    self._settle()
                if self.present >= most:
                    break
                self._begin(item)
                yield self.present
        except ImageSearchError:
            yield from self._finish()
            raise
        yield from self._finish()

    @property
    def present(self) -> int:
        """How many objects are in the folder."""
        return self.downloaded + self.there

    def abandon(self) -> None:
        """Stop soon, without waiting for threads that are stuck on the network."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        with suppress(KeyboardInterrupt, SystemExit):
            for future in wait(self._running, STOP_SECONDS).done:
                if not future.cancelled() and future.exception() is None:
                    self._count(future.result())

    def summary(self) -> str:
        """The counts in one line."""
        copied = f"{self.downloaded} downloaded, {self.there} already there"
        return f"{copied}, {self.refused} refused, {self.failed} failed."

    def _begin(self, item: StoredObject) -> None:
        try:
            target = self.paths.take(item.key)
            if self.state.knows(item) and _size(target) == item.size:
                self.there += 1
            else:
                self._running[self._pool.submit(self._copy, item, target)] = item
        except EntryRefused as refusal:
            self.refused += 1
            self.say(f"Refused: {_shown(item.key)}: {refusal}")
        except OSError as error:
            self._fail(item, error)

    def _copy(self, item: StoredObject, target: Path) -> bool:
        """Copy the object; returns whether it had to be fetched."""
        fetch = not _has_bytes(target, item)
        if fetch:
            target.parent.mkdir(parents=True, exist_ok=True)
            self.bucket.download(item.key, item.etag, target, self._stop)
        self.state.add(item)
        return fetch

    def _finish(self) -> Iterator[int]:
        while self._running:
            self._settle()
            yield self.present
        self._pool.shutdown()

    def _settle(self) -> None:
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            item = self._running.pop(future)
            try:
                fetched = future.result()
            except (ImageSearchError, OSError) as error:
                self._fail(item, error)
            else:
                self._count(fetched)

    def _count(self, fetched: bool) -> None:
        self.downloaded += fetched
        self.there += not fetched

    def _fail(self, item: StoredObject, error: ImageSearchError | OSError) -> None:
        self.failed += 1
        reason = f"{error.strerror}." if isinstance(error, OSError) else error
        self.say(f"Failed: {_shown(item.key)}: {reason}")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _has_bytes(path: Path, item: StoredObject) -> bool:
    """Whether the file equals the object, as far as its etag tells, if that is an MD5."""
    if len(item.etag) != MD5_DIGITS or _size(path) != item.size:
        return False
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest() == item.etag


def _shown(key: str) -> str:
    return key if key.isprintable() else ascii(key)


def download(bucket: Bucket, folder: Path, prefix: str, most: float) -> Copier:
    """Copy the objects whose keys begin with `prefix` to `folder`, until `most` are there.

    A file that differs from its object is replaced. Raises what `open_state` and the listing do.
    """
    total = None if math.isinf(most) else most
    options = {"desc": "Copying", "unit": " objects", "total": total, "mininterval": 1}
    with open_state(folder) as state, tqdm(**options) as bar:
        _sweep(folder)
        folds = (folder / STATE.upper()).exists()
        copier = Copier(bucket, Paths(folder, folds), state, bar.write)
        try:
            for present in copier.run(bucket.objects(prefix), most):
                bar.update(present - bar.n)
        except ImageSearchError:
            bar.write(copier.summary())
            raise
        except (KeyboardInterrupt, SystemExit) as end:
            copier.abandon()
            _sweep(folder)
            bar.write(f"Stopped: {copier.summary()} Run again, it goes on from here.")
            sys.stdout.flush()
            # sys.exit would wait for the threads, and they for the network.
            os._exit(int(getattr(end, "code", INTERRUPTED)))
    return copier


def _sweep(folder: Path) -> None:
    """Delete partial files that a kill left; whoever holds the state has the folder alone."""
    for part in folder.rglob(PARTS):
        with suppress(OSError):
            part.unlink()


def main() -> None:
    """Copy, and say what was refused or failed."""
    with sentences("Not copied"):
        settings = Settings.load()
        most = settings.max_images or math.inf
        copier = download(_bucket(settings), settings.images_dir, settings.s3_prefix, most)
    print(copier.summary())
    if copier.failed:
        sys.exit(1)


def _bucket(settings: Settings) -> Bucket:
    """The bucket named in the settings. Raises SettingsInvalid if they name none."""
    if settings.s3_bucket is None:
        raise SettingsInvalid("S3_BUCKET is not set: it names the bucket to copy from.")
    return open_buckets(settings).bucket(settings.s3_bucket)


if __name__ == "__main__":
    run_command(main)
