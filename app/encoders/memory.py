"""Return memory that is no longer needed to the system."""

import ctypes
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MADV_DONTNEED = 4  # forget: what was changed would be lost, so only of what cannot be written to


def release_mapped(files: Sequence[Path]) -> None:
    """Give back the memory of mappings of `files`; what is read again comes from the page cache.

    OpenVINO lays weights out anew for the CPU and keeps the file mapped: without this a model
    counts twice. Where the system cannot, nothing happens.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        for begin, end in _mappings({str(file.resolve()) for file in files}):
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_DONTNEED)


def _mappings(files: set[str]) -> list[tuple[int, int]]:
    """The addresses, from and to, at which any of `files` lies in this process to be read."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] in files and "w" not in fields[1]:
            begin, _, end = fields[0].partition("-")
            found.append((int(begin, 16), int(end, 16)))
    return found


def trim() -> None:
    """Give back what was freed; where the C library cannot, nothing happens."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # glibc has it, musl has not
            ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
