"""How well words in pictures are read, beside tesseract: `make benchmark-texts`.

Draws pictures with known words, has both read them, and prints the share of words that were read,
time of a processor, memory and size on disk; whether the reader's memory grows; and what the test
whether a picture looks like text spares and loses. Prints Markdown.
"""

import re
import resource
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import distribution
from multiprocessing import get_context
from pathlib import Path
from shutil import which
from typing import Annotated

import numpy as np
import psutil
import typer
from PIL import Image

from app.pictures.decoding import decode
from app.understanding.texts import reading_process
from app.understanding.texts.text_likeness import looks_like_text
from benchmarks.machine import described
from scripts.benchmark_search import print_table
from scripts.drawn_texts import KINDS, DrawnText, drawn_texts

PACKAGES = ("rapidocr", "opencv-python-headless", "shapely", "pyclipper", "omegaconf", "colorlog")
DEBIAN = ("tesseract-ocr", "libtesseract5", "liblept5", "tesseract-ocr-osd", "tesseract-ocr-eng",
          "tesseract-ocr-chi-sim")  # fmt: skip
TESSERACT = ("tesseract", "stdout", "-l", "eng+chi_sim", "--psm", "3")
MEGA = 1_000_000
MAX_MEGAPIXELS = 100
LOOK_SECONDS = 0.01  # between looks at the memory of tesseract
GROWTH_STEP = 50  # pictures between two looks at the memory


class Reader:
    """The reader as the service has it, in a process of its own, which is never replaced."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self.read(Image.new("RGB", (64, 64)))  # the models are loaded, and their shapes prepared
        (pid,) = self._pool._processes  # noqa: SLF001  # there is no public way to it
        self._process = psutil.Process(pid)

    def read(self, image: Image.Image) -> str:
        """All text of a picture."""
        lines = self._pool.submit(reading_process.read, np.asarray(image)).result()
        return "\n".join(line.text for line in lines)

    def seconds(self) -> float:
        """What it has taken of a processor so far."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def bytes(self) -> int:
        """The memory it has now."""
        return int(self._process.memory_info().rss)

    def peak(self) -> int:
        """The most memory it had so far, in bytes."""
        return _peak(self._process.pid)

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


def main(
    count: Annotated[int, typer.Option(help="drawn pictures")] = 200,
    seed: Annotated[int, typer.Option()] = 1,
    more: Annotated[int, typer.Option(help="further pictures, to see the memory grow")] = 300,
    photos: Annotated[Path | None, typer.Option(help="a folder of photos without text")] = None,
) -> None:
    """Print the tables."""
    machine = described()
    typer.echo(f"{count} drawn pictures; {machine['CPU']}, {machine['cores']} cores")
    drawn = list(drawn_texts(count, seed))
    reader = Reader()
    head = ["reader", *KINDS, "all", "processor seconds per picture", "peak MB", "MB on disk"]
    print_table("Words read", head, [ours(reader, drawn)])
    if which(TESSERACT[0]):
        print_table("Words read by tesseract", head, [theirs(drawn)])
    else:
        typer.echo("tesseract is not installed: apt-get install tesseract-ocr-chi-sim")
    print_table("Looks like text", ["pictures", "skipped", "words lost"], likeness(drawn, photos))
    print_table("Memory of the reader", ["pictures", "MB"], growth(reader, more, seed + 1))
    reader.close()


def ours(reader: Reader, drawn: Sequence[DrawnText]) -> list[str]:
    """The row of the service's own reader."""
    before = reader.seconds()
    found = [_words_read(one, reader.read(one.image)) for one in drawn]
    seconds = reader.seconds() - before
    files = [file for name in PACKAGES for file in distribution(name).files or ()]
    disk = sum(path.stat().st_size for file in files if (path := Path(str(file.locate()))).exists())
    return _row("rapidocr on OpenVINO", drawn, found, seconds, reader.peak(), disk)


def theirs(drawn: Sequence[DrawnText]) -> list[str]:
    """The row of tesseract, which is started for each picture."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    read = [_tesseract(one.image) for one in drawn]
    found = [_words_read(one, text) for one, (text, _) in zip(drawn, read, strict=True)]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    command = ["dpkg-query", "-W", "-f", "${Installed-Size}\n", *DEBIAN]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
    disk = sum(int(line) for line in told.split()) * 1024
    return _row("tesseract", drawn, found, seconds, max(peak for _, peak in read), disk)


def _tesseract(image: Image.Image) -> tuple[str, int]:
    """What it reads, and the most memory it was seen to have, in bytes."""
    with tempfile.NamedTemporaryFile(suffix=".png") as file, tempfile.TemporaryFile() as told:
        image.save(file.name, "PNG", compress_level=1)
        command = [*TESSERACT[:1], file.name, *TESSERACT[1:]]
        peak = 0
        with subprocess.Popen(command, stdout=told, stderr=subprocess.DEVNULL) as process:  # noqa: S603
            while process.poll() is None:
                peak = max(peak, _peak(process.pid))
                time.sleep(LOOK_SECONDS)
        told.seek(0)
        return told.read().decode(), peak


def _peak(pid: int) -> int:
    """The most memory that a process had so far, in bytes; 0 if it has ended.

    What the system tells after its end counts its parent's too, whose copy it began as.
    """
    try:
        told = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s+(\d+) kB", told)
    return int(found[1]) * 1024 if found else 0


def _words_read(one: DrawnText, text: str) -> int:
    """How many of a picture's words are in what was read; Chinese has no spaces between them."""
    text = text.lower()
    words, joined = set(re.findall(r"[\w.]+", text)), "".join(text.split())
    return sum(word in (words if word.isascii() else joined) for word in one.words)


def _row(
    name: str,
    drawn: Sequence[DrawnText],
    found: Sequence[int],
    seconds: float,
    peak: int,
    disk: int,
) -> list[str]:
    right: dict[str, int] = defaultdict(int)
    every: dict[str, int] = defaultdict(int)
    for one, number in zip(drawn, found, strict=True):
        for kind in (one.kind, "all"):
            right[kind] += number
            every[kind] += len(one.words)
    shares = [f"{right[kind] / every[kind]:.3f}" for kind in (*KINDS, "all")]
    sizes = [f"{size / MEGA:.0f}" for size in (peak, disk)]
    return [name, *shares, f"{seconds / len(drawn):.2f}", *sizes]


def growth(reader: Reader, more: int, seed: int) -> Iterator[list[str]]:
    """The memory of the process, which reads pictures of ever other shapes."""
    yield ["the above", f"{reader.bytes() / MEGA:.0f}"]
    for number, one in enumerate(drawn_texts(more, seed), 1):
        width, height = one.image.size
        reader.read(one.image.crop((0, 0, width - 3 * (number % 40), height - 5 * (number % 30))))
        if number % GROWTH_STEP == 0:
            yield [f"{number} more", f"{reader.bytes() / MEGA:.0f}"]


def likeness(drawn: Sequence[DrawnText], photos: Path | None) -> Iterator[list[str]]:
    """What is not read for the test's sake."""
    skipped = [one for one in drawn if not looks_like_text(one.image)]
    lost = sum(len(one.words) for one in skipped) / sum(len(one.words) for one in drawn)
    yield ["drawn, with words", f"{len(skipped) / len(drawn):.3f}", f"{lost:.3f}"]
    if photos is not None:
        files = [path for path in sorted(photos.iterdir()) if path.is_file()]
        images = [decode(path.read_bytes(), MAX_MEGAPIXELS).image for path in files]
        share = sum(not looks_like_text(image) for image in images) / len(images)
        yield [f"{len(images)} photos", f"{share:.3f}", ""]


if __name__ == "__main__":
    typer.run(main)
