"""The folder watcher: changes below watched folders become sync jobs."""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from watchfiles import Change, watch

from app.errors import ImageSearchError
from app.ingest.jobs.job_submission import JobOptions, JobSubmission
from app.sources.folders import QUIET_SECONDS
from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.mounts import Mount, mounts_of

log = logging.getLogger(__name__)

STEP_MS = 100  # changes are collected until none came for so long
DEBOUNCE_MS = 400  # but for at most so long
LOOK_MS = 300  # between checks for what has become quiet
SETTLED_SECONDS = QUIET_SECONDS + 0.2  # after its last change a file counts as complete
MAX_WITNESSED = 1_000  # deleted paths that a job names; of more, their folders
POLL_SECONDS = 300.0
SYNC = JobOptions(sync=True)


@dataclass(frozen=True)
class _Place:
    """What a path leads to: another one when the folder was replaced, mounted over or remounted."""

    device: int
    inode: int
    mounts: tuple[Mount, ...]

    @classmethod
    def of(cls, folder: Path) -> "_Place | None":
        """None if there is no folder at the path."""
        try:
            status = folder.stat()
        except OSError:
            return None
        if not stat.S_ISDIR(status.st_mode):
            return None
        return cls(status.st_dev, status.st_ino, mounts_of(folder.resolve()))

    @property
    def network_disk(self) -> str | None:
        """The kind of a disk in it that does not report changes; None if all do."""
        return next((mount.kind for mount in self.mounts if mount.is_network), None)


@dataclass
class FolderWatcher:
    """Watches `folders`. Changes made before it started are found by an initial sync.

    Like every other sync it waits until the folder is quiet: a file that was still being written
    when the watch began is complete by then, or its change is reported. Where the system reports
    no changes, on a network disk, a sync every `poll_seconds` finds them.
    """

    job_submission: JobSubmission
    folders: Sequence[Path]
    ignored: IgnoredNames = ONLY_HIDDEN
    poll_seconds: float = POLL_SECONDS
    clock: Callable[[], float] = time.monotonic
    _places: dict[Path, _Place | None] = field(default_factory=dict, init=False)
    _polled: dict[Path, float] = field(default_factory=dict, init=False)  # time of the next look
    _changed: dict[Path, float] = field(default_factory=dict, init=False)  # time of the last change
    _deleted: set[Path] = field(default_factory=set, init=False)  # of these, those that went
    _jobs: dict[Path, int] = field(default_factory=dict, init=False)  # the last job by folder

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop`, anew whenever a folder is replaced, goes or comes back."""
        while not stop.is_set():
            self._begin()
            for changes in self._events(stop):
                now = self.clock()
                for change, name in changes:
                    self._note(change, Path(name), now)
                self._poll(now)
                for folder in self.folders:
                    self._sync_settled(folder, now)
                if any(_Place.of(folder) != self._places[folder] for folder in self.folders):
                    break

    def _begin(self) -> None:
        """See where the folders are; what is new since the last time needs a sync."""
        now = self.clock()
        for folder in self.folders:
            place = _Place.of(folder)
            if folder in self._places and place == self._places[folder]:
                continue
            if place is None:
                log.warning("%s is gone: it is watched again once it is back", folder)
            else:
                if folder in self._places:
                    log.warning("%s was replaced or mounted anew: all of it is looked at", folder)
                self._changed[folder] = now
                self._choose_way(folder, place, now)
            self._places[folder] = place

    def _choose_way(self, folder: Path, place: _Place, now: float) -> None:
        """Say how changes are found."""
        if place.network_disk is None:
            self._polled.pop(folder, None)
            log.info("watching %s: the system reports its changes", folder)
        else:
            self._polled[folder] = now + self.poll_seconds
            how = "watching %s: it has a network disk (%s), whose changes are not all reported; "
            log.info(
                how + "it is looked at every %g s", folder, place.network_disk, self.poll_seconds
            )

    def _poll(self, now: float) -> None:
        for folder, due in self._polled.items():
            if now >= due:
                self._polled[folder] = now + self.poll_seconds
                self._changed.setdefault(folder, now)

    def _events(self, stop: threading.Event) -> Iterator[set[tuple[Change, str]]]:
        """Sets of changes, also empty ones, several a second, until it is to be begun anew."""
        there = [folder for folder in self.folders if self._places[folder] is not None]
        try:
            if there:
                yield from watch(
                    *there,
                    watch_filter=None,
                    debounce=DEBOUNCE_MS,
                    step=STEP_MS,
                    rust_timeout=LOOK_MS,
                    yield_on_timeout=True,
                    stop_event=stop,
                    ignore_permission_denied=True,
                )
        except (OSError, RuntimeError) as error:  # more folders than the system watches, say
            how = "changes are not reported (%s): all is looked at, and tried again, in %g s"
            log.warning(how, error, self.poll_seconds)
            until = self.clock() + self.poll_seconds
            while self.clock() < until and not stop.wait(LOOK_MS / 1000):
                yield set()
            self._changed.update(dict.fromkeys(there, self.clock()))
        while not there and not stop.wait(LOOK_MS / 1000):
            yield set()

    def _note(self, change: Change, path: Path, now: float) -> None:
        self._changed[path] = now
        if change == Change.deleted:
            self._deleted.add(path)
        else:
            self._deleted.discard(path)

    def _sync_settled(self, folder: Path, now: float) -> None:
        """Sync what has been quiet for long enough; retried later if the database is away."""
        below = [path for path in self._changed if path.is_relative_to(folder)]
        settled = [path for path in below if now - self._changed[path] >= SETTLED_SECONDS]
        try:
            if settled and self._is_idle(folder):
                self._sync(folder, [path for path in settled if not self._ignores(path, folder)])
                for path in settled:
                    del self._changed[path]
                    self._deleted.discard(path)
        except SQLAlchemyError as error:
            log.warning("changes below %s wait for the database: %s", folder, error)
            self._changed.update(dict.fromkeys(settled, now))

    def _sync(self, folder: Path, changed: Sequence[Path]) -> None:
        """Submit a job on the deepest folder that contains all changes."""
        if changed:
            self._jobs[folder] = self.job_submission.folder(
                _common_folder(changed, folder),
                SYNC,
                settled=True,
                witnessed=_topmost([path for path in changed if path in self._deleted]),
                anew=folder not in self._jobs,
            )

    def _ignores(self, path: Path, folder: Path) -> bool:
        return path != folder and self.ignored.has_any(
            path.relative_to(folder).as_posix(), folder.name
        )

    def _is_idle(self, folder: Path) -> bool:
        """Whether the last job has ended; two at once would read the same files twice."""
        if folder not in self._jobs:
            return True
        try:
            return self.job_submission.job(self._jobs[folder]).finished_at is not None
        except ImageSearchError:  # deleted: it ended long ago
            return True


def _topmost(deleted: Sequence[Path]) -> list[Path]:
    """The paths without those below another; their folders if there are too many."""
    every = set(deleted)
    top = [path for path in deleted if every.isdisjoint(path.parents)]
    if len(top) > MAX_WITNESSED:
        top = list({path.parent for path in top})[:MAX_WITNESSED]
    return sorted(top)


def _common_folder(paths: Iterable[Path], folder: Path) -> Path:
    """The deepest existing folder that contains all of `paths`."""
    common = Path(os.path.commonpath([path.parent for path in paths]))
    while common != folder and not common.is_dir():
        common = common.parent
    return common if common.is_relative_to(folder) else folder
