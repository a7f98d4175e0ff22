"""Index a folder or a bucket, alone or beside a server: `make ingest`, `make sync`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from sqlalchemy.exc import DBAPIError

from app.errors import ImageSearchError
from app.ingest.jobs.job_submission import JobOptions, JobSubmission
from app.ingest.jobs.jobs import Job
from app.runtime.assembly import open_services
from app.runtime.progress_bar import progress_bar
from app.runtime.services import Services
from app.runtime.shutdown import exit_process, unwind_on_signals
from app.settings import Settings

ALWAYS_SHOWN = ("failed", "removed", "gone")  # a dry run shows everything that would be done
TITLES = {"failed": "Refused"}


def main(
    folder: Annotated[Path | None, typer.Option("--dir", help="a folder, with all below")] = None,
    bucket: Annotated[str | None, typer.Option(help="a bucket; S3_… has its keys")] = None,
    prefix: Annotated[str, typer.Option(help="only the bucket's keys that begin so")] = "",
    sync: Annotated[bool, typer.Option(help="forget pictures whose file is gone")] = False,
    forget_empty: Annotated[
        bool, typer.Option(help="with --sync: also those of folders that are empty or gone")
    ] = False,
    include_deleted: Annotated[
        bool, typer.Option(help="also files whose pictures were deleted here")
    ] = False,
    reread: Annotated[
        bool, typer.Option(help="read known files again for what is written in and beside them")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="say what would be done, and do nothing")] = False,
) -> None:
    """Index the pictures that are new or have changed, and say what was refused."""
    if (folder is None) == (bucket is None):
        sys.exit("Name a folder (DIR=…) or a bucket (BUCKET=…), one of them.")
    unwind_on_signals()
    try:
        with open_services(Settings.load()) as services:
            options = JobOptions(
                sync, dry_run, forget_empty, include_deleted, reread, follow_links=True
            )
            if folder is not None:
                place = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100  # keeps links
                job_id = services.job_submission.folder(place, options)
            else:
                job_id = services.job_submission.bucket(bucket or "", prefix, options)
            job = work_on(services, job_id)
            print_outcome(services.job_submission, job)
    except ImageSearchError as error:
        sys.exit(f"Not indexed: {error}")
    except DBAPIError as error:
        sys.exit(f"The database failed: {error.orig} Run the command again: it goes on from here.")
    if job.reason:
        sys.exit(f"Not indexed whole: {job.reason}")
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
        print("Files that are gone are still in the index; make sync forgets them.")
    if job.dry_run:
        print("A dry run: nothing was done.")
    print(
        f"{job.added} added, {job.changed} changed, {job.moved} moved, {job.removed} removed, "
        f"{job.unchanged} unchanged, {job.failed} refused, {job.gone} gone."
    )


def run_command(command: Callable[[], object]) -> NoReturn:
    """Run a command of typer's, and end soon after it also where a thread waits for a disk."""
    try:
        command()
    except SystemExit as end:  # of typer's, at every end
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            exit_process(1)
        exit_process(end.code or 0)
    exit_process()


if __name__ == "__main__":
    run_command(lambda: typer.run(main))
