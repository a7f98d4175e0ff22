"""A source compared with the catalog, stretch by stretch, both in the order of their paths."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from app.catalog import image_rows
from app.catalog.image_rows import KnownFile
from app.database.connections import Sessions
from app.ingest.job_items import ListedFile, NewItem
from app.ingest.jobs import Job
from app.sources.interfaces import Source, SourceFile

T = TypeVar("T")
Add = Callable[[Job, ListedFile], bool]
"""Writes a stretch of a job's listing; False where nothing is to be listed any more."""

STRETCH = 1_000  # files listed at a time: as many as a page of S3's listing holds


class SourceDiff:
    """One job's source against the catalog, both in the order of their paths."""

    def __init__(self, sessions: Sessions, add: Add, job: Job, source: Source) -> None:
        self._sessions = sessions
        self._write = add
        self._job = job
        self._source = source
        self._quiet = bool(job.source.get("settled"))
        self._after = self._mark = job.checkpoint  # listed up to, compared and as written

    def run(self) -> None:
        """List the source to its end, or until the writing says that it is enough."""
        files = self._source.files(self._after)
        for stretch in stretches(files, STRETCH):
            if not self._compare(stretch):
                return
        self._compare_rest()

    def _compare_rest(self) -> None:
        """What is known beyond the last file, a stretch at a time."""
        while rest := self._known(None, limit=STRETCH):
            upto = max(rest)
            items = [NewItem(row.path, row.etag, removal=True) for row in rest.values()]
            if not self._add(ListedFile(self._mark, items, 0, upto)):
                return
        self._add(ListedFile(self._mark, whole=True))

    def _known(self, upto: str | None, limit: int | None = None) -> dict[str, KnownFile]:
        with self._sessions.begin() as session:
            return image_rows.known_between(
                session,
                self._job.collection_id,
                self._source.prefix,
                (self._after, upto),
                limit,
            )

    def _add(self, listed: ListedFile) -> bool:
        self._after = self._mark = listed.checkpoint or self._mark
        return self._write(self._job, listed)

    def _compare(self, files: list[SourceFile]) -> bool:
        """Write one stretch, up to its last path."""
        named = [file for file in files if _is_storable(file.path)]
        upto = named[-1].path if named else self._after
        known = self._known(upto) if named else {}
        items = [_unstorable(file) for file in files if not _is_storable(file.path)]
        unchanged = 0
        for file in named:
            row = known.pop(file.path, None)
            if self._quiet and not file.settled:
                unchanged += row is not None  # its last write will bring it here again
            elif row is not None and row.etag == file.etag:
                unchanged += 1
            else:
                items.append(NewItem(file.path, file.etag, file.size))
        items += [NewItem(row.path, row.etag, removal=True) for row in known.values()]
        return self._add(ListedFile(self._mark, items, unchanged, upto))


def stretches(found: Iterator[T], size: int) -> Iterator[list[T]]:
    """Up to `size` at a time; what was found before an error comes before the error."""
    stretch: list[T] = []
    try:
        for one in found:
            stretch.append(one)
            if len(stretch) == size:
                yield stretch
                stretch = []
    except Exception:
        if stretch:
            yield stretch
        raise
    if stretch:
        yield stretch


def _is_storable(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path)


def _unstorable(file: SourceFile) -> NewItem:
    shown = file.path.encode("utf-8", "backslashreplace").decode()
    return NewItem(shown, file.etag, file.size, reason="Its name is no UTF-8: rename the file.")
