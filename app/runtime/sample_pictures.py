"""Pictures to calibrate int8 on, the user's own or the bundled ones, and captions to judge it."""

import csv
import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from app.encoders.model_request import Captioned
from app.errors import ImageRejected, SourceUnavailable
from app.pictures.decoding import PillowImage, decode
from app.settings import BUNDLED_IMAGES, Settings
from app.storage.bounded_reads import ORIGINALS, Beat
from app.storage.disk import files_below

FEWEST_SAMPLES = 100  # of the user's pictures for a calibration; with fewer, bundled ones serve
LISTED_SAMPLES = 50_000  # files listed to choose from: takes about a second
MANIFEST = "manifest.csv"


def sample_pictures(settings: Settings, count: int) -> list[PillowImage]:
    """Up to `count` RGB pictures sampled from the user's folders, or from the bundled ones.

    Deterministic while the folders do not change. Unreadable files are skipped.
    """
    found = own_pictures(settings, count)
    if len(found) >= FEWEST_SAMPLES:
        return found
    return list(islice(_pictures((BUNDLED_IMAGES,), settings), count))


def own_pictures(settings: Settings, count: int) -> list[PillowImage]:
    """Up to `count` RGB pictures of the user's folders; none if a disk does not answer."""
    folders = (settings.source_dir, *settings.source_dirs, settings.storage_dir)

    def read(beat: Beat) -> list[PillowImage]:
        return list(islice(_pictures(folders, settings, beat), count))

    try:
        return ORIGINALS.call(settings.source_dir, read)
    except SourceUnavailable:
        return []


def captioned_pictures() -> list[Captioned]:
    """The bundled pictures in RGB, each with its English caption."""
    with (BUNDLED_IMAGES / MANIFEST).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    megapixels = Settings.model_fields["max_megapixels"].default
    return [
        (decode((BUNDLED_IMAGES / row["path"]).read_bytes(), megapixels).image, row["caption"])
        for row in rows
    ]


def _pictures(
    folders: Iterable[Path], settings: Settings, beat: Beat = lambda: None
) -> Iterator[PillowImage]:
    """The pictures in `folders`, shuffled with a fixed seed; `beat` is called for each file."""
    listed = (path for folder in folders for path in files_below(folder))
    paths = sorted(islice(_with_beat(listed, beat), LISTED_SAMPLES))
    random.Random(0).shuffle(paths)  # noqa: S311  # not a secret
    for path in paths:
        beat()
        with suppress(ImageRejected, OSError):
            if path.stat().st_size <= settings.max_file_mb * 1e6:
                yield decode(path.read_bytes(), settings.max_megapixels).image


def _with_beat(listed: Iterable[Path], beat: Beat) -> Iterator[Path]:
    for path in listed:
        beat()
        yield path
