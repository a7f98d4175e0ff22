"""Changes below a folder, reported by a process of its own.

watchfiles walks all of a folder before it watches it, and holds Python's lock meanwhile
(`findings/watchfiles_walk.sh`): in this process a large folder would stop all searches while it is
walked, and a disk that does not answer would stop them for good.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any, cast

from watchfiles import Change

from app.ingest import folder_events_process

Changes = set[tuple[Change, Path]]
END_SECONDS = 1.0  # that a killed process may take to end; one that waits for a disk takes longer


class FolderEvents:
    """What a watching process reports; see `watching`."""

    def __init__(self, output: IO[bytes]) -> None:
        self._output = output
        self._lines: SimpleQueue[Any] = SimpleQueue()
        self.begun = threading.Event()
        """Set once changes are reported, or never will be."""
        threading.Thread(target=self._read, name="folder events", daemon=True).start()

    def next(self, seconds: float) -> Changes:
        """The next changes; none if none come within `seconds`, or fewer.

        Raises OSError if the folder cannot be watched or the process has ended.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except Empty:
            return set()
        if isinstance(line, dict):
            raise OSError(line["error"])
        return {(Change(kind), Path(name)) for kind, name in line}

    def _read(self) -> None:
        with self._output:
            for line in self._output:
                self._lines.put(json.loads(line))
                self.begun.set()
        self._lines.put({"error": "the watching process has ended"})
        self.begun.set()


@contextmanager
def watching(folder: Path) -> Iterator[FolderEvents]:
    """Have a process watch `folder`, which it may still be walking. Raises OSError."""
    program = str(folder_events_process.__file__)
    process = subprocess.Popen(  # noqa: S603  # ours
        [sys.executable, program, folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for its parent
    )
    try:
        yield FolderEvents(cast(IO[bytes], process.stdout))
    finally:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
