"""How fast a folder of many files is listed, and in how much memory: `make benchmark-listing`.

Makes empty files below a temporary folder, lists them as a job does, and prints entries a second
and by how much the process has grown. Two files of three are pictures, the third is a sidecar.
A listing holds the names of one folder at each level, so that its largest folder is what counts.
"""

import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from app.settings import IGNORED_NAMES, ROOT
from app.sources.folders import Folder
from app.sources.ignored_names import IgnoredNames
from app.sources.interfaces import SourceFile

MOST_ENTRIES = 2_000_000
EACH = 1_000  # entries in a folder
BYTES_PER_MIB = 1 << 20
NAMES = ("IMG_{:06}.jpg", "IMG_{:06}.jpg.xmp", "IMG_{:06}.heic")


def main(
    entries: Annotated[int, typer.Option(min=1, max=MOST_ENTRIES)] = 1_000_000,
    flat: Annotated[bool, typer.Option(help="all in one folder")] = False,
) -> None:
    """Print how many entries a second are listed, and the memory that takes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        each = entries if flat else EACH
        _fill(folder, entries, each)
        before = _peak_mib()
        began, worked = time.perf_counter(), time.process_time()
        listed = list_all(folder)
        seconds, worked = time.perf_counter() - began, time.process_time() - worked
        grown = _peak_mib() - before
    print(
        f"{entries:,} entries, {listed:,} of them pictures: {entries / seconds:,.0f} entries/s "
        f"({entries / worked:,.0f} a second of processor time), {grown:,.0f} MiB more than before: "
        f"{grown * BYTES_PER_MIB / min(each, entries):,.0f} bytes a file of the largest folder"
    )


def list_all(folder: Path) -> int:
    """How many files of the folder may be pictures."""
    found = Folder(folder, ROOT, IgnoredNames(IGNORED_NAMES)).files()
    return sum(isinstance(one, SourceFile) for one in found)


def _fill(folder: Path, entries: int, each: int) -> None:
    for number in range(entries):
        place = folder / f"{number // each:05}"
        if number % each == 0:
            place.mkdir()
        (place / NAMES[number % len(NAMES)].format(number // len(NAMES))).touch()


def _peak_mib() -> float:
    """The most memory that the process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB


if __name__ == "__main__":
    typer.run(main)
