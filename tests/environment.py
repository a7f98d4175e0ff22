"""The environment of processes that tests start: nothing of the developer's own settings."""

import os

KEPT = ("PATH", "COVERAGE_")  # the second: subprocesses are measured too


def bare(**settings: str) -> dict[str, str]:
    """`settings` and what a process needs to run; no `.env` is read."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    return {**kept, "ENV_FILE": os.devnull, **settings}
