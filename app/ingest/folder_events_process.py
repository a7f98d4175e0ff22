"""The program of a process that reports what changes below a folder, until nobody reads it.

Run by its path, so that it imports nothing of ours. Its argument is the folder. Each line is a JSON
list of changes, pairs of a `watchfiles.Change` and a path; the first line, often an empty list,
comes once the folder is watched. If it cannot be watched, the line is an object with an `error`.
"""

import json
import os
import sys
from typing import Any

from watchfiles import watch

STEP_MS = 100  # changes are collected until none came for so long
DEBOUNCE_MS = 400  # but for at most so long
LINE_MS = 300  # between lines if nothing changes


def main() -> None:
    """Watch and write."""
    changes = watch(
        sys.argv[1],
        watch_filter=None,
        step=STEP_MS,
        debounce=DEBOUNCE_MS,
        rust_timeout=LINE_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    while True:
        try:
            line: Any = list(next(changes))
        except (OSError, RuntimeError) as error:  # more folders than the system watches, say
            line = {"error": str(error)}
        try:
            print(json.dumps(line), flush=True)
        except BrokenPipeError:
            os._exit(0)  # Python would try to write the rest
        if isinstance(line, dict):
            return


if __name__ == "__main__":
    main()
