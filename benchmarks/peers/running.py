"""How a peer runs: it reads a task, measures, and prints the results with its versions."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

BATCH = 100  # pictures per call
PACKAGES = ("torch", "open-clip-torch", "pillow", "numpy")


def run(measure: Callable[[dict[str, Any]], dict[str, Any]], package: str) -> None:
    """Read the task, measure, and print the results and the versions used."""
    task = json.load(sys.stdin)
    told = measure(task)
    versions = {name: version(name) for name in (package, *PACKAGES)}
    print(json.dumps({**told, "versions": versions}))


def device() -> str:
    """The device of the peer's model: CUDA if available, as with ours, unless DEVICE says cpu."""
    import torch

    wanted = os.environ.get("DEVICE", "auto")
    return "cuda" if wanted in {"auto", "cuda"} and torch.cuda.is_available() else "cpu"


def batches(paths: Sequence[str]) -> list[Sequence[str]]:
    """The paths in batches of BATCH."""
    return [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]


def seconds(work: Callable[[], Any]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
