"""What the figures of one run share: photographs, weights, captions, a database that is filled."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import cycle
from pathlib import Path

import numpy as np

from app.vectors import Vectors
from benchmarks import photographs, server
from benchmarks.checkpoint import checkpoint
from benchmarks.load import by_text
from benchmarks.sentences import sentences
from benchmarks.server import Model, Server, serving
from scripts import generated_vectors

DIMENSIONS = 512  # of ViT-B-32's vectors
VECTOR_SEED, QUERY_SEED = 1, 2
SENTENCES = 48_000
REQUESTS = 9_000  # more than the server remembers


@dataclass(frozen=True)
class Sizes:
    """How much is measured. The defaults are those of the goals."""

    pictures: int = 1_000
    of_peers: int = 500  # of the same pictures: others take minutes, and their rate is steady
    repeats: int = 3  # of our indexing; and of starts
    gallery: int = 50_000  # pictures that are searched
    texts: int = 400  # searches of one client, and of Chroma
    rate_seconds: float = 10.0  # of each load by many clients
    by_image: int = 200  # searches by photograph
    beside: int = 400  # searches while nothing else runs
    nearest: tuple[int, ...] = (50_000, 200_000)  # vectors
    queries: int = 200  # of each
    minutes: float = 10.0  # of mixed load, its first fifth as warm-up


TINY = Sizes(
    pictures=24,
    of_peers=24,
    repeats=2,
    gallery=500,
    texts=20,
    rate_seconds=1.0,
    by_image=10,
    beside=20,
    nearest=(500, 1_000),
    queries=20,
    minutes=0.5,
)
"""To try the benchmark itself: seconds, and figures that say nothing."""


@dataclass(frozen=True)
class Workshop:
    """`folder` is the run's own and goes with it; `kept` stays for the next run.

    `photos` is a folder of somebody's own photographs, or None.
    """

    sizes: Sizes
    folder: Path
    kept: Path
    photos: Path | None = None
    _used: Iterator[str] = field(default_factory=lambda: iter(sentences(SENTENCES)), init=False)

    @cached_property
    def model(self) -> Model:
        """The weights that everybody loads; what is made of them is made anew in each run."""
        return Model(checkpoint(self.kept), self.folder / "models")

    @cached_property
    def photographs(self) -> list[Path]:
        """The JPEGs that everybody indexes."""
        if self.photos:
            return photographs.given(self.photos, self.sizes.pictures)
        return photographs.photographs(self.kept / photographs.NAME, self.sizes.pictures)

    @cached_property
    def pictures(self) -> Path:
        """A folder with links to those photographs and nothing else."""
        folder = self.folder / "pictures"
        folder.mkdir()
        for n, path in enumerate(self.photographs):
            try:
                (folder / f"{n:05}.jpg").hardlink_to(path)
            except OSError:  # another disk
                shutil.copy(path, folder / f"{n:05}.jpg")
        return folder

    def texts(self, count: int) -> list[str]:
        """`count` captions that nobody has asked for in this run."""
        return [next(self._used) for _ in range(count)]

    def requests(self) -> Iterator[bytes]:
        """Searches for captions without an end: what comes again is long forgotten."""
        return cycle([by_text(text) for text in self.texts(REQUESTS)])

    @cached_property
    def vectors(self) -> Vectors:
        """Of the gallery: float32, shape (gallery, DIMENSIONS)."""
        return generated_vectors.clip_like(self.sizes.gallery, DIMENSIONS, VECTOR_SEED)

    def saved(self, name: str, rows: Vectors) -> Path:
        """An array as a file, for a peer."""
        path = self.folder / f"{name}.npy"
        if not path.exists():
            np.save(path, rows)
        return path

    @cached_property
    def filled(self) -> Path:
        """A folder with the database of a server that has the gallery, and is stopped."""
        folder = self.folder / "filled"
        folder.mkdir()
        with serving(folder, self.model):
            pass  # it makes the tables and the index of its model
        server.fill(folder, self.vectors)
        return folder

    @contextmanager
    def searching(self) -> Iterator[Server]:
        """A server with the gallery."""
        with serving(self.filled, self.model) as running:
            yield running

    @contextmanager
    def indexing(self) -> Iterator[Server]:
        """A server with an empty database, which may index `pictures`."""
        folder = self.folder / "indexing"
        folder.mkdir()
        try:
            with serving(folder, self.model, self.pictures) as running:
                yield running
        finally:
            shutil.rmtree(folder, ignore_errors=True)
