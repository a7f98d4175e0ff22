"""The processor, cores and GPUs of this machine, as far as can be told without torch."""

import os
import platform
import sys
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
TELLING = {"model name", "flags", "CPU implementer", "CPU part", "Features"}  # lines we read
INT8_FLAGS = {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"}  # they multiply 8-bit integers fast
DEVICES = Path("/dev")
# Device files of NVIDIA's driver, also on its boards without PCI and under Windows, and of AMD's.
GPU_FILES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")


def cores() -> int | None:
    """How many cores this process may run on; None if that cannot be determined."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def processor() -> list[str]:
    """Lines describing the processor; equal on two machines only if they compute alike."""
    try:
        first = CPUINFO.read_text().partition("\n\n")[0].splitlines()
    except OSError:  # another system
        return [platform.machine(), platform.processor()]
    return [line for line in first if line.partition("\t")[0].rstrip(" :") in TELLING]


def has_fast_int8() -> bool:
    """Whether the processor says that it has instructions for 8-bit integers."""
    return not INT8_FLAGS.isdisjoint(" ".join(processor()).split())


def may_have_gpu() -> bool:
    """Whether to ask torch for a GPU: only torch can say whether it can use one."""
    if sys.platform == "darwin":
        return True
    return any(next(DEVICES.glob(name), None) for name in GPU_FILES)
