"""Measurements in separate processes: the peers' libraries, and our model alone."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from app.settings import ROOT
from benchmarks.server import PASSED_ON, environment
from benchmarks.workshop import Workshop

PEERS = ROOT / "benchmarks" / ".venv" / "bin" / "python"
SECONDS = 4 * 3_600  # time limit of one measurement
TOLD = 3_000  # characters shown of the error output of a failed process
QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "HF_HUB_OFFLINE": "1",
    "LANCEDB_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "OTEL_SDK_DISABLED": "true",
}


class MeasurementFailed(Exception):
    """A process ended with an error, or did not do what it was asked to."""


def peer(name: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """Run `benchmarks.peers.NAME` on a task in the peers' environment; returns what it prints."""
    if not PEERS.exists():
        raise MeasurementFailed("benchmarks/.venv is absent; `make benchmark` makes it.")
    kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    return _told([str(PEERS), "-m", f"benchmarks.peers.{name}"], task, {**kept, **QUIET})


def bare(
    shop: Workshop,
    batches: int = 0,
    ones: int = 0,
    texts: Sequence[str] = (),
    precision: str | None = None,
) -> dict[str, Any]:
    """Run `benchmarks.bare` on batches, on pictures one by one, and on texts; what it prints."""
    paths = [str(path) for path in shop.photographs[: max(ones, 32)]]
    task = {"photographs": paths, "batches": batches, "ones": ones, "texts": texts}
    own = environment(shop.folder, shop.model, precision=precision)
    return _told([sys.executable, "-m", "benchmarks.bare"], task, own)


@lru_cache(maxsize=1)
def runtime(shop: Workshop) -> str:
    """The runtime of the server's model; `bare` makes the same choice, from the same tests."""
    return named(bare(shop))


def named(told: Mapping[str, Any]) -> str:
    """Runtime, precision and device from the result of `bare`, as text."""
    texts = "" if told["texts"] == told["precision"] else f" (texts: {told['texts']})"
    return ", ".join((told["runtime"], told["precision"] + texts, told["device"]))


def _told(command: list[str], task: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  # our own command
        command,
        cwd=ROOT, env=own, input=json.dumps(task), capture_output=True, text=True,
        timeout=SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise MeasurementFailed(f"{' '.join(command)}:\n{done.stderr[-TOLD:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
