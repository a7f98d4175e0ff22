"""Index a folder or a bucket, alone or beside a server: `make ingest`, `make sync`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.ingest.jobs.job_submission import JobOptions, JobSubmission
from app.ingest.jobs.jobs import Job
from app.runtime.assembly import open_services
from app.runtime.progress_bar import progress_bar
from app.runtime.services import Services
from scripts.command_line import by_make, open_settings, run_command, sentences, worded

RESUMED = "Run the command again: it goes on from here."
ALWAYS_SHOWN = ("failed", "removed", "gone")  # a dry run shows everything that would be done
TITLES = {"failed": "Refused"}


Folder = Annotated[Path | None, typer.Option("--dir", help="a folder, with all below")]
Bucket = Annotated[str | None, typer.Option(help="a bucket; S3_… has its keys")]
Prefix = Annotated[str, typer.Option(help="only keys that begin with this")]
ForgetEmpty = Annotated[
    bool, typer.Option(help="when syncing: also those of folders that are empty or gone")
]
IncludeDeleted = Annotated[bool, typer.Option(help="also files whose pictures were deleted here")]
Reread = Annotated[
    bool, typer.Option(help="read known files again for what is written in and beside them")
]
DryRun = Annotated[bool, typer.Option(help="only say what would be done")]


def sync(
    folder: Folder = None,
    bucket: Bucket = None,
    prefix: Prefix = "",
    forget_empty: ForgetEmpty = False,
    include_deleted: IncludeDeleted = False,
    reread: Reread = False,
    dry_run: DryRun = False,
) -> None:
    """Index as `ingest` does, and forget pictures whose file is gone."""
    main(folder, bucket, prefix, True, forget_empty, include_deleted, reread, dry_run)


def main(
    folder: Folder = None,
    bucket: Bucket = None,
    prefix: Prefix = "",
    sync: Annotated[bool, typer.Option(help="forget pictures whose file is gone")] = False,
    forget_empty: ForgetEmpty = False,
    include_deleted: IncludeDeleted = False,
    reread: Reread = False,
    dry_run: DryRun = False,
) -> None:
    """Index the pictures that are new or have changed, and say what was refused."""
    if (folder is None) == (bucket is None):
        sys.exit(worded("Name a folder (--dir) or a bucket (--bucket), one of them."))
    options = JobOptions(sync, dry_run, forget_empty, include_deleted, reread, follow_links=True)
    with sentences("Not indexed", RESUMED), open_services(open_settings()) as services:
        if folder is not None:
            place = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  # keeps links
            job_id = services.job_submission.folder(place, options)
        else:
            job_id = services.job_submission.bucket(bucket or "", prefix, options)
        job = work_on(services, job_id)
        print_outcome(services.job_submission, job)
    if job.reason:
        sys.exit(f"Indexing did not finish: {job.reason}")
    if job.failed and job.failed == job.total:
        sys.exit(1)


def work_on(services: Services, job_id: int) -> Job:
    """Work on the queue until the job has ended, with a progress bar."""
    with services.working(), progress_bar(mininterval=1) as show:
        return services.job_submission.follow(job_id, show)


def print_outcome(job_submission: JobSubmission, job: Job) -> None:
    """Print what became of a job's files: those that need a look, and the counts."""
    shown = ("added", "changed", "moved", *ALWAYS_SHOWN) if job.dry_run else ALWAYS_SHOWN
    for outcome in shown:
        for item in job_submission.every(job.id, outcome):
            reason = f": {item.reason}" if item.reason else ""
            print(f"{TITLES.get(outcome, outcome.capitalize())}: {item.path}{reason}")
    if job.gone:
        way = "make sync" if by_make() else "--sync"
        print(f"Files that are gone are still in the index; `{way}` forgets them.")
    if job.dry_run:
        print("A dry run: nothing was done.")
    print(
        f"{job.added} added, {job.changed} changed, {job.moved} moved, {job.removed} removed, "
        f"{job.unchanged} unchanged, {job.failed} refused, {job.gone} gone."
    )


if __name__ == "__main__":
    run_command(main)
