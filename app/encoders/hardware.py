"""The processor, cores and GPUs of this machine, as far as known without torch."""

import os
import platform
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
TELLING = {"model name", "flags", "CPU implementer", "CPU part", "Features"}  # of its lines
DEVICES = Path("/dev")
# What a driver shows: NVIDIA's, on their boards without PCI and under Windows, and AMD's.
GPU_FILES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")


def cores() -> int | None:
    """How many this process may run on; None where nobody knows."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor() -> list[str]:
    """Lines that two processors have in common only where they compute alike."""
    try:
        first = CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:  # another system
        return [platform.machine(), platform.processor()]
    return [line for line in first if line.partition("\t")[0].rstrip(" :") in TELLING]


def may_have_gpu() -> bool:
    """Whether torch should be asked for a GPU: only it knows if it can use one."""
    if sys.platform == "darwin":
        return True
    return any(next(DEVICES.glob(name), None) for name in GPU_FILES)
