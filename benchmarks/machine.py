"""The machine and the package versions that a figure was measured with."""

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("torch", "open-clip-torch", "openvino", "nncf", "pillow", "numpy", "pgvector")
SHOWN_AS = {"pgvector": "pgvector's Python package"}
"""The extension in Postgres has the same name, and versions of its own."""
GIB = 2**30  # bytes


def described() -> dict[str, str]:
    """The machine's properties and the versions, in the order in which to show them."""
    read = Path("/proc/cpuinfo")
    told = read.read_text() if read.exists() else ""
    model = re.search(r"^model name\s*: (.*)$", told, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.*)$", told, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    return {
        "CPU": model[1] if model else platform.machine(),
        "flags": " ".join(flag for flag in FLAGS if flag in known) or "none of " + ", ".join(FLAGS),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / GIB:.0f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
        **{SHOWN_AS.get(name, name): found for name in PACKAGES if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
