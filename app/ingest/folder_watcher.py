"""The folder watcher: changes below a watched folder become sync jobs."""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from watchfiles import Change

from app.errors import ImageSearchError, SourceUnavailable
from app.ingest import folder_events
from app.ingest.folder_events import Changes, FolderEvents
from app.ingest.jobs.job_submission import JobOptions, JobSubmission
from app.sources.folders import QUIET_SECONDS
from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.mounts import Mount, mounts_of
from app.storage.bounded_reads import ORIGINALS

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.3  # between checks for what has become quiet
WALK_SECONDS = 15.0  # for a first walk; if it takes longer, the first sync does not wait for it
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
        """None if there is no folder at the path, or its disk does not answer."""
        try:
            return ORIGINALS.call(folder, lambda beat: cls._seen(folder))
        except (OSError, SourceUnavailable):
            return None

    @classmethod
    def _seen(cls, folder: Path) -> "_Place | None":
        status = folder.stat()
        if not stat.S_ISDIR(status.st_mode):
            return None
        return cls(status.st_dev, status.st_ino, mounts_of(folder.resolve()))

    @property
    def network_disk(self) -> str | None:
        """The kind of a disk in it that does not report changes; None if all do."""
        return next((mount.kind for mount in self.mounts if mount.is_network), None)


@dataclass
class FolderWatcher:
    """Watches `folder`. Changes made before it started are found by an initial sync.

    Like every other sync it waits until the folder is quiet: a file that was still being written
    when the watch began is complete by then, or its change is reported. Where the system reports
    no changes, on a network disk, a sync every `poll_seconds` finds them.
    """

    job_submission: JobSubmission
    folder: Path
    ignored: IgnoredNames = ONLY_HIDDEN
    poll_seconds: float = POLL_SECONDS
    clock: Callable[[], float] = time.monotonic
    _place: _Place | None = field(default=None, init=False)
    _has_begun: bool = field(default=False, init=False)
    _next_look: float | None = field(default=None, init=False)  # None: changes are reported
    _changed: dict[Path, float] = field(default_factory=dict, init=False)  # time of the last change
    _deleted: set[Path] = field(default_factory=set, init=False)  # of these, those that went
    _job: int | None = field(default=None, init=False)  # the last one

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop`, anew whenever the folder is replaced, goes or comes back."""
        while not stop.is_set():
            self._begin()
            for changes in self._events(stop):
                now = self.clock()
                for change, path in changes:
                    self._note(change, path, now)
                self._poll(now)
                self._sync_settled(now)
                if _Place.of(self.folder) != self._place:
                    break

    def _begin(self) -> None:
        """See where the folder is; if that is new since the last time, it needs a sync."""
        now, place = self.clock(), _Place.of(self.folder)
        if self._has_begun and place == self._place:
            return
        if place is None:
            log.warning(
                "%s is gone or its disk does not answer: it is watched again once it is back",
                self.folder,
            )
        else:
            if self._has_begun:
                log.warning(
                    "%s was replaced or mounted anew: all of it is scanned again", self.folder
                )
            self._changed[self.folder] = now
            self._choose_way(place, now)
        self._place, self._has_begun = place, True

    def _choose_way(self, place: _Place, now: float) -> None:
        """Say how changes are found."""
        if place.network_disk is None:
            self._next_look = None
            log.info("watching %s: the system reports its changes", self.folder)
        else:
            self._next_look = now + self.poll_seconds
            how = "watching %s: it has a network disk (%s), whose changes are not all reported; "
            log.info(
                how + "it is scanned every %g s",
                self.folder, place.network_disk, self.poll_seconds,
            )  # fmt: skip

    def _poll(self, now: float) -> None:
        if self._next_look is not None and now >= self._next_look:
            self._next_look = now + self.poll_seconds
            self._changed.setdefault(self.folder, now)

    def _events(self, stop: threading.Event) -> Iterator[Changes]:
        """Sets of changes, also empty ones, several a second, until it is to be begun anew."""
        place = self._place
        if place is None:
            while not stop.wait(LOOK_SECONDS):
                yield set()
            return
        try:
            with folder_events.watching(self.folder) as events:
                yield from self._reported(events, place, stop)
        except OSError as error:
            how = "changes of %s are not reported (%s): all of it is scanned again in %g s"
            log.warning(how, self.folder, error, self.poll_seconds)
            until = self.clock() + self.poll_seconds
            while self.clock() < until and not stop.wait(LOOK_SECONDS):
                yield set()
            self._changed[self.folder] = self.clock()

    def _reported(
        self, events: FolderEvents, place: _Place, stop: threading.Event
    ) -> Iterator[Changes]:
        """What is reported, once that has begun; the initial sync must not come before.

        If it takes longer than WALK_SECONDS, empty sets until then, and another sync afterwards.
        """
        patience, is_late = self.clock() + WALK_SECONDS, False
        while not events.begun.wait(LOOK_SECONDS) and not stop.is_set():
            if not is_late and self.clock() >= patience:
                is_late = True
                self._next_look = self.clock() + self.poll_seconds
                how = "watching %s: it is very large, or a disk below it does not answer; until "
                log.warning(
                    how + "its changes are reported, it is scanned every %g s",
                    self.folder, self.poll_seconds,
                )  # fmt: skip
            if is_late:
                yield set()
        if is_late:
            self._changed[self.folder] = self.clock()
            self._choose_way(place, self.clock())
        while not stop.is_set():
            yield events.next(LOOK_SECONDS)

    def _note(self, change: Change, path: Path, now: float) -> None:
        self._changed[path] = now
        if change == Change.deleted:
            self._deleted.add(path)
        else:
            self._deleted.discard(path)

    def _sync_settled(self, now: float) -> None:
        """Sync what has been quiet for long enough; retried later if the database is away."""
        settled = [path for path, at in self._changed.items() if now - at >= SETTLED_SECONDS]
        try:
            if settled and self._is_idle():
                self._sync([path for path in settled if not self._ignores(path)])
                for path in settled:
                    del self._changed[path]
                    self._deleted.discard(path)
        except SQLAlchemyError as error:
            log.warning("changes below %s wait for the database: %s", self.folder, error)
            self._changed.update(dict.fromkeys(settled, now))

    def _sync(self, changed: Sequence[Path]) -> None:
        """Submit a job on the deepest folder that contains all changes."""
        if changed:
            self._job = self.job_submission.folder(
                _common_folder(changed, self.folder),
                SYNC,
                settled=True,
                witnessed=_topmost([path for path in changed if path in self._deleted]),
                anew=self._job is None,
            )

    def _ignores(self, path: Path) -> bool:
        return path != self.folder and self.ignored.has_any(
            path.relative_to(self.folder).as_posix(), self.folder.name
        )

    def _is_idle(self) -> bool:
        """Whether the last job has ended; two at once would read the same files twice."""
        if self._job is None:
            return True
        try:
            return self.job_submission.job(self._job).finished_at is not None
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
