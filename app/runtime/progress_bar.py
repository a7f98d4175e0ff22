"""The progress of a job, as a bar in a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from app.ingest.jobs.jobs import Job


@contextmanager
def progress_bar(**options: Any) -> Iterator[Callable[[Job], None]]:
    """A progress bar in pictures; call what it yields with the job to update it."""
    with tqdm(desc="Indexing", unit=" pictures", **options) as bar:

        def show(job: Job) -> None:
            bar.total = job.total
            bar.update(job.done - bar.n)

        yield show
