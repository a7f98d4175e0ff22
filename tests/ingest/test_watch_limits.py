"""A system that watches no more folders: they are looked at instead."""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from app.ingest.folder_watcher import FolderWatcher
from app.ingest.jobs.job_submission import JobSubmission


@contextmanager
def too_few_files() -> Iterator[None]:
    """No further file can be opened meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_folder_that_cannot_be_watched_is_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Issue 21, line 26: beyond the system's limit of watches, say; here of open files."""
    nothing_submitted = cast(JobSubmission, None)
    watcher = FolderWatcher(nothing_submitted, tmp_path, poll_seconds=0.5)
    watcher._begin()
    watcher._changed.clear()
    with too_few_files():
        assert set(map(len, watcher._events(threading.Event()))) == {0}
    assert "are not reported (" in caplog.text
    assert tmp_path in watcher._changed
