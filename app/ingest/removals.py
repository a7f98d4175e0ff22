"""Which pictures a sync removes: those whose file is gone, unless their folder's disk may be away.

A folder that held pictures and is now empty or gone as a whole looks the same whether its disk is
not mounted or somebody deleted it. Its pictures are kept, with their captions and ratings, unless
the job was told to forget them or their deletion was seen.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from app.catalog.images import image_deletion, image_rows
from app.database.connections import Sessions
from app.ingest.jobs import job_items, leases
from app.ingest.jobs.job_items import Item
from app.ingest.jobs.jobs import Job
from app.ingest.jobs.leases import ItemResult
from app.sources.folders import stored_path
from app.sources.interfaces import Source
from app.sources.source_access import Sources

DECIDED_AT_ONCE = 500  # pictures in one transaction
NAMED = 3  # doubted folders in a job's reason


@dataclass
class Removals:
    """Decides on the pictures that the listing of one job lacks; `check_stop` may raise."""

    sessions: Sessions
    sources: Sources
    job: Job
    check_stop: Callable[[], None]
    _is_empty: dict[str, bool] = field(default_factory=dict, init=False)
    _doubted: Counter[str] = field(default_factory=Counter, init=False)

    def settle(self) -> str | None:
        """Remove what is gone. Returns a sentence about pictures that were kept in doubt."""
        job = self.job
        source = self.sources.open(job.source)
        if source is None:
            return None
        with self.sessions.begin() as session:
            unlisted = job_items.unlisted_folders(session, job.id)
        while True:
            with self.sessions.begin() as session:
                found = job_items.removals(session, job.id, DECIDED_AT_ONCE)
                known = image_rows.files_at(session, job.collection_id, [one.path for one in found])
                ids = [row.id for row in known.values()] if job.dry_run else []
                moved = job_items.moved(session, job.id, ids)
            if not found:
                return self._sentence()
            left = sorted(path for path, row in known.items() if row.id not in moved)
            left = [path for path in left if not path.startswith(unlisted)]
            gone = [known[path] for path in left if self._is_gone(path, source)]
            self.check_stop()
            with self.sessions.begin() as session:
                if job.mode == "sync" and not job.dry_run:
                    gone = image_deletion.mark_deleted(session, gone)  # uploads stay
                self._write(session, found, {row.path for row in gone})

    def _is_gone(self, path: str, source: Source) -> bool:
        if source.ignores(path):  # its name is ignored since it was indexed
            return True
        if self.sources.exists(path):
            return False
        folder = self._doubted_folder(path, source) if self.job.mode == "sync" else None
        if folder is not None:
            self._doubted[folder] += 1
        return folder is None

    def _doubted_folder(self, path: str, source: Source) -> str | None:
        """The highest folder above `path` that is empty, unless its deletion is believed."""
        for folder in _folders(path, source.prefix):
            if folder not in self._is_empty:
                self._is_empty[folder] = source.is_empty(folder)
            if self._is_empty[folder]:
                return None if self._is_believed(folder) else folder
        return None

    def _is_believed(self, folder: str) -> bool:
        """Whether the job was told to forget, or something at or below the folder was deleted."""
        if self.job.source.get("forget_empty"):
            return True
        root = self.sources.root
        witnessed = (stored_path(Path(one), root) for one in self.job.source.get("witnessed", ()))
        return any(f"{one}/".startswith(folder) for one in witnessed)

    def _sentence(self) -> str | None:
        if not self._doubted:
            return None
        named = ", ".join(sorted(self._doubted)[:NAMED])
        more = len(self._doubted) - NAMED
        others = f" and {more} more" if more > 0 else ""
        return (
            f"Empty or gone, though {self._doubted.total()} known pictures belong there: {named}"
            f"{others}. Is its disk mounted, its name right? These pictures were kept; to forget "
            "them, sync again with forget_empty (FORGET_EMPTY=1)."
        )

    def _write(self, session: Session, found: Sequence[Item], gone: set[str]) -> None:
        """Count each path once: a retried listing may have noted it twice."""
        last = {item.path: item for item in found if item.path in gone}
        outcome = "removed" if self.job.mode == "sync" else "gone"
        results = [ItemResult(item, outcome) for item in last.values()]
        leases.write_results(session, self.job, results)
        decided = {item.id for item in last.values()}
        job_items.dismiss(session, [item.id for item in found if item.id not in decided])


def _folders(path: str, prefix: str) -> Iterator[str]:
    """The source's folder and those between it and the file, each with a slash at its end."""
    yield prefix
    for end, character in enumerate(path[len(prefix) :], len(prefix) + 1):
        if character == "/":
            yield path[:end]
