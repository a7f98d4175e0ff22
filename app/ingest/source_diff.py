"""The diff of a folder or bucket and the catalog: what is new, changed or missing."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from app.catalog import skipped_files
from app.catalog.images import image_rows
from app.catalog.images.image_rows import KnownFile
from app.catalog.skipped_files import SkippedFile
from app.database.connections import Sessions
from app.errors import SourceUnavailable
from app.ingest.jobs.job_items import ListedFile, NewItem
from app.ingest.jobs.jobs import Job
from app.sources.interfaces import PassedOver, Source, SourceFile, Unlisted

T = TypeVar("T")
Add = Callable[[Job, ListedFile], bool]
"""Writes a chunk of a job's listing; False if the listing is to stop."""

LISTING_CHUNK = 1_000  # files at a time, as in a page of S3's listing


class SourceDiff:
    """Compares one job's source with the catalog in a single pass, both sorted by path.

    `refusal_rules` are those under which files would be refused now.
    """

    def __init__(
        self, sessions: Sessions, add: Add, job: Job, source: Source, refusal_rules: str
    ) -> None:
        self._refusal_rules = refusal_rules
        self._sessions = sessions
        self._write = add
        self._job = job
        self._source = source
        self._quiet = bool(job.source.get("settled"))
        self._reread = bool(job.source.get("reread"))
        self._include_deleted = bool(job.source.get("include_deleted"))
        self._after = job.checkpoint  # the last path compared
        self._mark = job.checkpoint  # the checkpoint as written

    def run(self) -> None:
        """List the source to its end, or until writing a chunk returns False."""
        files = self._source.files(self._after)
        for chunk in chunks(files, LISTING_CHUNK):
            if not self._compare(chunk):
                return
        self._compare_rest()

    def _compare_rest(self) -> None:
        """The catalog's paths after the last file, a chunk at a time."""
        while rest := self._known(None, limit=LISTING_CHUNK):
            upto = max(rest)
            items = [NewItem(row.path, row.etag, removal=True) for row in rest.values()]
            if not self._add(ListedFile(self._mark, items, 0, upto)):
                return
        self._add(ListedFile(self._mark, whole=True))

    def _known(self, upto: str | None, limit: int | None = None) -> dict[str, KnownFile]:
        with self._sessions.begin() as session:
            return image_rows.files_between(
                session,
                self._job.collection_id,
                self._source.prefix,
                (self._after, upto),
                limit,
            )

    def _skipped(self, upto: str) -> dict[str, SkippedFile]:
        place = (self._job.collection_id, self._source.prefix, self._after, upto)
        with self._sessions.begin() as session:
            found = skipped_files.between(session, *place)
        if self._include_deleted:
            return {path: one for path, one in found.items() if one.content_hash is None}
        return found

    def _add(self, listed: ListedFile) -> bool:
        self._after = self._mark = listed.checkpoint or self._mark
        return self._write(self._job, listed)

    def _compare(self, listed: list[SourceFile | Unlisted | PassedOver]) -> bool:
        """Compare and write one chunk, up to its last path."""
        named = [one for one in listed if _is_storable(one.path)]
        upto = named[-1].path if named else self._after
        known = self._known(upto) if named else {}
        skipped = self._skipped(upto) if named and upto else {}
        files = [one for one in listed if not isinstance(one, PassedOver)]
        items = [_unstorable(file) for file in files if not _is_storable(file.path)]
        unchanged = 0
        for file in filter(lambda one: _is_storable(one.path), files):
            row = known.pop(file.path, None)
            if isinstance(file, Unlisted):
                items.append(_unlisted(file, file.path))
            elif self._quiet and not file.settled:
                unchanged += row is not None  # its last write will trigger another job
            elif _is_known(file, None if self._reread else row, skipped.get(file.path)):
                unchanged += 1
            else:
                items.append(self._item(file, skipped.get(file.path)))
        items += [NewItem(row.path, row.etag, removal=True) for row in known.values()]
        passed = Counter(one.is_companion for one in listed if isinstance(one, PassedOver))
        found = ListedFile(self._mark, items, unchanged, upto)
        return self._add(replace(found, ignored=passed[False], companions=passed[True]))

    def _item(self, file: SourceFile, skip: SkippedFile | None) -> NewItem:
        """The file to be read; if it was refused by the same rules as it is, its old reason."""
        refused = skip is not None and skip.etag == file.etag and skip.rules == self._refusal_rules
        reason, code = (skip.reason, skip.code) if skip is not None and refused else (None, None)
        sidecars = list(file.sidecars) or None
        return NewItem(file.path, file.etag, file.size, reason=reason, code=code, sidecars=sidecars)


def chunks(found: Iterator[T], size: int) -> Iterator[list[T]]:
    """Up to `size` at a time; what precedes an error is yielded before it is raised."""
    chunk: list[T] = []
    try:
        for one in found:
            chunk.append(one)
            if len(chunk) == size:
                yield chunk
                chunk = []
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk


def _is_known(file: SourceFile, row: KnownFile | None, skip: SkippedFile | None) -> bool:
    """Whether the file is indexed as it is, or its picture was deleted here."""
    if row is not None:
        return row.etag == file.etag
    return skip is not None and skip.content_hash is not None and skip.etag == file.etag


def _is_storable(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path)


def _unlisted(file: Unlisted, shown: str) -> NewItem:
    return NewItem(shown, reason=file.reason, code=SourceUnavailable.code)


def _unstorable(file: SourceFile | Unlisted) -> NewItem:
    shown = file.path.encode("utf-8", "backslashreplace").decode()
    if isinstance(file, Unlisted):
        return _unlisted(file, shown)
    return NewItem(shown, file.etag, file.size, reason="Its name is not UTF-8: rename the file.")
