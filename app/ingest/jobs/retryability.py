"""Which failed files, and which ended jobs, can be tried again, as conditions in SQL."""

from sqlalchemy import ColumnElement, and_, case, exists, func, or_
from sqlalchemy.dialects.postgresql import array

from app.database.job_tables import job_items, jobs
from app.errors import (
    ArchiveRejected,
    ImageCorrupt,
    ImageTooLarge,
    ImageTooNarrow,
    ImageUnsupported,
    UrlNotAllowed,
)

SENT = ("files", "archive")  # sources that were uploaded with the request
HOPELESS = (
    *(error.code for error in (ImageUnsupported, ImageCorrupt, ImageTooLarge, ImageTooNarrow)),
    UrlNotAllowed.code,
)
"""Codes of files that are refused again for as long as they stay as they are."""


def could_be_retried() -> ColumnElement[bool]:
    """Whether an item can be tried again: no folder that was not listed, no upload that is gone."""
    is_folder = jobs.c.source.has_key("folder") & job_items.c.path.endswith("/")
    was_sent = jobs.c.source.has_any(array(SENT))
    return and_(~is_folder, or_(~was_sent, job_items.c.staged.is_not(None)))


def retryable() -> ColumnElement[bool]:
    """Whether trying an ended job again may help: its source, or a file that is no hopeless one."""
    failed = exists().where(
        job_items.c.job_id == jobs.c.id,
        job_items.c.state == "failed",
        func.coalesce(job_items.c.code, "").not_in(HOPELESS),
        could_be_retried(),
    )
    source = and_(
        func.coalesce(jobs.c.code, "") != ArchiveRejected.code, ~jobs.c.source.has_key("reindex")
    )
    return case(
        (jobs.c.finished_at.is_(None), False),
        (jobs.c.reason.is_not(None), source),
        (jobs.c.failed > 0, failed.correlate(jobs)),
        else_=False,
    )
