"""What a worker logs of jobs, for operators: their begin, progress, refusals and end.

The database is looked at, rather than each place that changes a job: a line is only ever about what
was committed, and it tells of the work of all workers.
"""

import logging
import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.job_tables import OUTCOMES, jobs
from app.ingest.jobs import job_items
from app.ingest.jobs.job_control import WITHOUT_ITEMS
from app.ingest.jobs.jobs import JOB_COLUMNS, Job

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0  # between two looks
PROGRESS_SECONDS = 30.0  # between two lines on the progress of a job
MOST_REFUSALS = 20  # lines for each job; its items say the rest
SOURCES = ("folder", "bucket", "archives", "archive", "urls", "files", *WITHOUT_ITEMS)
"""What a job's source may hold, first what says most of it."""
LATE = timedelta(minutes=1)  # between the end of a job and its commit, at most


@dataclass
class _Followed:
    """A job that has begun: when its progress was last told, and the items told as refused."""

    told_at: float
    refused: set[int] = field(default_factory=set)


class JobLog:
    """Logs what has happened to jobs since the last look; those that ended before it are left out.

    Of a worker: one thread at a time may call it.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._since: datetime | None = None
        self._followed: dict[int, _Followed] = {}
        self._ended: dict[int, datetime] = {}

    def look(self) -> None:
        """Write the lines that are due; without a query where nobody would see them."""
        if not log.isEnabledFor(logging.INFO):
            return
        with self._sessions.begin() as session:
            now = session.execute(select(func.now())).scalar_one()
            for job in _moving(session, (self._since or now) - LATE, self._followed):
                self._tell(session, job)
        self._since = now
        self._ended = {job: at for job, at in self._ended.items() if at > now - 2 * LATE}

    def _tell(self, session: Session, job: Job) -> None:
        ended = job.finished_at
        if ended is not None and job.id not in self._followed:
            is_known = self._ended.get(job.id) == ended
            self._ended[job.id] = ended
            if is_known or self._since is None:
                return
        if job.id not in self._followed:
            log.info("job %d began: %s", job.id, _described(job))
            self._followed[job.id] = _Followed(time.monotonic())
        followed = self._followed[job.id]
        if job.failed and len(followed.refused) < MOST_REFUSALS:
            self._tell_refusals(session, job, followed)
        if ended is not None:
            log.log(_level(job), "job %d %s", job.id, _end(job))
            self._ended[job.id] = ended
            del self._followed[job.id]
        elif time.monotonic() - followed.told_at >= PROGRESS_SECONDS:
            log.info("job %d: %s", job.id, _progress(job))
            followed.told_at = time.monotonic()

    def _tell_refusals(self, session: Session, job: Job, followed: _Followed) -> None:
        for item in job_items.items(session, job.id, MOST_REFUSALS, outcome="failed"):
            if item.id not in followed.refused:
                log.info("job %d refused %s: %s", job.id, _without_query(item.path), item.reason)
                followed.refused.add(item.id)


def _moving(session: Session, since: datetime, followed: "dict[int, _Followed]") -> list[Job]:
    """The jobs under way, those that ended after `since`, and those followed, oldest first."""
    under_way = jobs.c.finished_at.is_(None) & jobs.c.started_at.is_not(None)
    query = select(*JOB_COLUMNS).where(
        or_(under_way, jobs.c.finished_at > since, jobs.c.id.in_(followed))
    )
    rows = session.execute(query.order_by(jobs.c.id)).mappings().all()
    for job_id in followed.keys() - {row["id"] for row in rows}:  # deleted with its collection
        del followed[job_id]
    return [Job(**row) for row in rows]


def _described(job: Job) -> str:
    """What it works on, and for which collection; of URLs only how many, as they may hold keys."""
    name = next(one for one in SOURCES if one in job.source)
    value = job.source[name]
    what = len(value) if isinstance(value, list) else value if isinstance(value, str | int) else ""
    mode = " (dry run)" if job.dry_run else " (sync)" if job.mode == "sync" else ""
    return f"{name} {what}".rstrip() + f", collection {job.namespace}/{job.collection}{mode}"


def _without_query(path: str) -> str:
    """The path; of a URL neither the query nor a password.

    The URL may be malformed, which is a reason to refuse it; `urlsplit` would raise.
    """
    if not path.startswith(("http://", "https://")):
        return path
    scheme, _, rest = path.partition("://")
    authority, slash, below = re.split("[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{below}"


def _progress(job: Job) -> str:
    total = f"{job.total:,}" if job.listed else f"{job.total:,} listed so far"
    pace = f", {job.rate:.1f} a second" if job.rate else ""
    left = f", {job.seconds_left:.0f} s left" if job.seconds_left is not None else ""
    waits = f"; it waits: {job.waiting}" if job.waiting else ""
    return f"{job.done:,} of {total}{pace}{left}, {job.failed:,} refused{waits}"


def _end(job: Job) -> str:
    counts = {"refused" if name == "failed" else name: getattr(job, name) for name in OUTCOMES}
    found = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    began = job.started_at or job.created_at
    seconds = (job.finished_at - began).total_seconds() if job.finished_at else 0.0
    reason = f"; {job.reason}" if job.reason else ""
    return f"{job.state} after {seconds:.1f} s: {found or 'nothing to do'}{reason}"


def _level(job: Job) -> int:
    return logging.WARNING if job.state == "failed" else logging.INFO
