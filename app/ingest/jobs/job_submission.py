"""Accepts folders, buckets, URLs, files and archives as jobs, and answers questions about jobs.

Input is checked, uploaded bytes are synced to disk, then the job is written in one transaction.

HTTP requests may read only the folders and buckets that the settings permit; commands of the
operator may read any.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from app.catalog.filters.declared_values import check_values
from app.database.connections import Sessions
from app.errors import SourceNotAllowed, SourceUnreadable, UploadRejected
from app.ingest.jobs import job_control, job_following, job_items, jobs
from app.ingest.jobs.job_items import Item, NewItem
from app.ingest.jobs.jobs import Job, NewJob
from app.ingest.jobs.task_queue import BULK_PRIORITY, SENT_PRIORITY
from app.sources.sidecars.annotations import Annotation
from app.storage.disk import Disk

MAX_FILES = 1_000  # in one request
MAX_URLS = 1_000  # in one request
URLS_AT_ONCE = 8  # in a batch: each may take half a minute to fail
PAGE = 1_000  # items read at a time
ANYWHERE = "anywhere"  # the queue of sources that every worker can read: buckets


@dataclass(frozen=True)
class JobOptions:
    """How a source is indexed.

    With `sync`, pictures that it lacks are removed; with `forget_empty`, also those of folders
    that are empty or gone as a whole, which may only have lost their disk. With
    `include_deleted`, files whose pictures were deleted here are indexed again. With `reread`,
    known files are read again for what they and their sidecars say, without a new embedding. With
    `follow_links`, links to folders are followed, which may lead out of what requests may read.
    Its end is reported to `webhook_url`.
    """

    sync: bool = False
    dry_run: bool = False
    forget_empty: bool = False
    include_deleted: bool = False
    reread: bool = False
    follow_links: bool = False
    webhook_url: str | None = None

    def flags(self) -> dict[str, Any]:
        """What a job's `source` says of them."""
        flags = ("forget_empty", "include_deleted", "reread", "follow_links")
        return {name: True for name in flags if getattr(self, name)}


@dataclass(frozen=True)
class SentFile:
    """An uploaded file: its name, and its open stream."""

    name: str
    file: BinaryIO


@dataclass(frozen=True)
class JobSubmission:
    """Makes jobs. `queue` is that of the workers that share this machine's disk."""

    sessions: Sessions
    collection_id: int
    incoming: Disk
    queue: str
    folders: Sequence[Path]
    buckets: Sequence[str]
    batch_size: int

    def requested(self, source: Mapping[str, str], options: JobOptions) -> int:
        """A job on a folder or bucket that a request names. Raises SourceNotAllowed."""
        if "folder" in source:
            return self.folder(self._allowed_folder(source["folder"]), options)
        if source["bucket"] not in self.buckets:
            raise SourceNotAllowed(
                f"The bucket {source['bucket']} is not open to requests: S3_BUCKET and S3_BUCKETS "
                "name those that are."
            )
        return self.bucket(source["bucket"], source.get("prefix", ""), options)

    def _allowed_folder(self, name: str) -> Path:
        """The folder, with links kept as the catalog's paths have them.

        Links are resolved only for the check: they must not lead out of the permitted folders.
        """
        place = Path(os.path.abspath(self.folders[0] / name))  # noqa: PTH100  # keeps links
        try:
            real = place.resolve()
            with suppress(FileNotFoundError, NotADirectoryError):  # reported by the job
                real.stat()
            is_open = any(real.is_relative_to(folder.resolve()) for folder in self.folders)
        except (OSError, ValueError, RuntimeError):  # a NUL, a name too long, a loop of links
            is_open = False
        if not is_open:
            raise SourceNotAllowed(
                "This folder is not open to requests: IMAGE_SEARCH_IMAGES_DIR and "
                "IMAGE_SEARCH_SOURCE_DIRS name those that are."
            )
        return place

    def folder(
        self,
        folder: Path,
        options: JobOptions,
        *,
        settled: bool = False,
        witnessed: Sequence[Path] = (),
        anew: bool = False,
    ) -> int:
        """A job on a folder of this machine.

        `settled` skips files that may still be changing. `witnessed` are paths that were seen to
        go: a folder emptied by that is believed to be empty. `anew` cancels unfinished jobs on
        the same folder, so that this one starts from the beginning.
        """
        source: dict[str, Any] = {"folder": str(folder), **options.flags()}
        if settled:
            source["settled"] = True
        if witnessed:
            source["witnessed"] = [str(path) for path in witnessed]
        return self._create(source, self.queue, options, anew=anew)

    def bucket(self, name: str, prefix: str, options: JobOptions) -> int:
        """A job on the objects of a bucket whose keys begin with `prefix`."""
        source = {"bucket": name, "prefix": prefix, **options.flags()}
        return self._create(source, ANYWHERE, options)

    def archives(self, parts: Sequence[Path], *, dry_run: bool = False) -> int:
        """A job on the parts of one archive on this machine, which are read where they lie.

        Raises SourceUnreadable for a part that is not there.
        """
        for part in parts:
            if not part.is_file():
                raise SourceUnreadable(f"{part} is not there.")
        source = {"archives": [str(part) for part in parts]}
        return self._create(source, self.queue, JobOptions(dry_run=dry_run))

    def _create(
        self, source: Mapping[str, Any], queue: str, options: JobOptions, *, anew: bool = False
    ) -> int:
        mode = "sync" if options.sync else "add"
        new = NewJob(self.collection_id, source, queue, mode, options.dry_run)
        new = replace(new, webhook_url=options.webhook_url)
        with self.sessions.begin() as session:
            for job_id in jobs.open_like(session, new) if anew else ():
                job_control.cancel_if_open(session, job_id)
            return jobs.create(session, new)

    def urls(
        self,
        urls: Sequence[str],
        annotation: Annotation,
        *,
        dry_run: bool = False,
        webhook_url: str | None = None,
    ) -> int:
        """A job on pictures that are downloaded from URLs.

        Raises UploadRejected, AnnotationInvalid.
        """
        if not 0 < len(urls) <= MAX_URLS:
            raise UploadRejected(f"urls: 1 to {MAX_URLS} are taken in one request.")
        self._check(annotation)
        items = [
            NewItem(url, caption=annotation.caption, metadata=annotation.metadata) for url in urls
        ]
        new = NewJob(self.collection_id, {"urls": len(urls)}, self.queue, listed=True)
        new = replace(new, dry_run=dry_run, webhook_url=webhook_url)
        return self._attach(new, items, URLS_AT_ONCE, BULK_PRIORITY)

    def sent(
        self,
        files: Sequence[SentFile],
        archive: SentFile | None,
        annotation: Annotation,
        *,
        dry_run: bool = False,
        webhook_url: str | None = None,
    ) -> int:
        """A job on uploaded files and the entries of an uploaded archive.

        Raises UploadRejected, AnnotationInvalid.
        """
        if not files and archive is None:
            raise UploadRejected("Send files, an archive, urls or a source.")
        if len(files) > MAX_FILES:
            raise UploadRejected(f"{len(files)} files; {MAX_FILES} are taken in one request.")
        self._check(annotation)
        with self._staged([*files, *([archive] if archive else [])]) as names:
            source: dict[str, Any] = {"files": len(files)}
            if archive:
                told = {"caption": annotation.caption, "metadata": annotation.metadata}
                source |= {"archive": archive.name, "staged": names[-1], **told}
            items = [
                NewItem(
                    file.name,
                    staged=name,
                    caption=annotation.caption,
                    metadata=annotation.metadata,
                )
                for file, name in zip(files, names, strict=False)
            ]
            new = NewJob(self.collection_id, source, self.queue, listed=archive is None)
            new = replace(new, dry_run=dry_run, webhook_url=webhook_url)
            return self._attach(new, items, self.batch_size, SENT_PRIORITY)

    def _check(self, annotation: Annotation) -> None:
        with self.sessions.begin() as session:
            check_values(session, self.collection_id, annotation.metadata)

    @contextmanager
    def _staged(self, sent: Sequence[SentFile]) -> Iterator[list[str]]:
        """The files on disk under unique names; deleted again if no job is made."""
        names = [uuid4().hex for _ in sent]
        try:
            for one, name in zip(sent, names, strict=True):
                self.incoming.copy(name, one.file)
            yield names
        except BaseException:
            for name in names:
                self.incoming.remove(name)
            raise

    def _attach(self, new: NewJob, items: Sequence[NewItem], batch_size: int, priority: int) -> int:
        with self.sessions.begin() as session:
            job_id = jobs.create(session, new)
            job_items.attach(session, job_id, items, batch_size, priority)
        return job_id

    def job(self, job_id: int) -> Job:
        """One job. Raises JobNotFound."""
        with self.sessions.begin() as session:
            return jobs.get(session, job_id)

    def jobs(
        self,
        collection_id: int | None,
        state: str | None,
        before: int | None,
        limit: int,
        namespace: str | None = None,
    ) -> list[Job]:
        """Jobs as `jobs.newest`."""
        with self.sessions.begin() as session:
            return jobs.newest(session, collection_id, state, before, limit, namespace)

    def items(
        self, job_id: int, limit: int, *, state: str | None = None, after: int = 0
    ) -> list[Item]:
        """Items of a job with ids above `after`. Raises JobNotFound."""
        with self.sessions.begin() as session:
            jobs.get(session, job_id)
            return job_items.items(session, job_id, limit, state=state, after=after)

    def every(self, job_id: int, outcome: str) -> Iterator[Item]:
        """All items of a job with this outcome."""
        after = 0
        while found := self._page(job_id, outcome, after):
            yield from found
            after = found[-1].id

    def _page(self, job_id: int, outcome: str, after: int) -> list[Item]:
        with self.sessions.begin() as session:
            return job_items.items(session, job_id, PAGE, outcome=outcome, after=after)

    def cancel(self, job_id: int) -> Job:
        """Start nothing more of a job. Raises JobNotFound, JobConflict."""
        with self.sessions.begin() as session:
            return job_control.cancel(session, job_id)

    def retry(self, job_id: int) -> Job:
        """Try the failed files of an ended job again. Raises JobNotFound, JobConflict."""
        with self.sessions.begin() as session:
            return job_control.retry(session, job_id, self.batch_size)

    def follow(
        self,
        job_id: int,
        show: Callable[[Job], object] = lambda job: None,
        stop: threading.Event | None = None,
    ) -> Job:
        """Wait until the job ends or `stop` is set, calling `show` with its progress."""
        return job_following.follow(lambda: self.job(job_id), show, stop or threading.Event())
