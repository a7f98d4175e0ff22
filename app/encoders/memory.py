"""Returns memory that is no longer needed to the operating system."""

import ctypes
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MADV_DONTNEED = 4  # discards any changes, so use it on read-only mappings alone


def release_mapped(files: Sequence[Path]) -> None:
    """Release the memory of mappings of `files`; later reads come from the page cache.

    OpenVINO repacks weights for the CPU and keeps the file mapped, so without this a model counts
    twice. Does nothing on systems that do not support it.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        for begin, end in _mappings({str(file.resolve()) for file in files}):
            libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_DONTNEED)


def _mappings(files: set[str]) -> list[tuple[int, int]]:
    """The start and end addresses of this process's read-only mappings of any of `files`."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] in files and "w" not in fields[1]:
            begin, _, end = fields[0].partition("-")
            found.append((int(begin, 16), int(end, 16)))
    return found


def trim() -> None:
    """Return freed memory to the system; does nothing if the C library cannot."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # glibc has it, musl does not
            ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
