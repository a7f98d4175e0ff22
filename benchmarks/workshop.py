"""What the figures of a run share: photographs, weights, captions and a filled database."""

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
REQUESTS = 9_000  # more than the server caches


@dataclass(frozen=True)
class Sizes:
    """How much is measured. The goals refer to the defaults."""

    pictures: int = 1_000
    of_peers: int = 500  # of those pictures: the others are slow, and their rate is steady
    repeats: int = 3  # how often we index, and how often the server is started
    gallery: int = 50_000  # pictures to search
    few: int = 1_000  # of these, where the time around the model is measured
    texts: int = 400  # searches by one client; half as many by Chroma
    rate_seconds: float = 10.0  # duration of each load by many clients
    by_image: int = 200  # searches by photograph
    beside: int = 400  # searches while nothing else runs
    nearest: tuple[int, ...] = (50_000, 200_000)  # numbers of vectors
    queries: int = 200  # for each number of vectors
    minutes: float = 10.0  # of mixed load; the first fifth is warm-up


TINY = Sizes(
    pictures=24,
    of_peers=24,
    repeats=2,
    gallery=500,
    few=100,
    texts=20,
    rate_seconds=1.0,
    by_image=10,
    beside=20,
    nearest=(500, 1_000),
    queries=20,
    minutes=0.5,
)
"""For trying out the benchmark: it takes seconds, and the figures mean nothing."""


@dataclass(frozen=True)
class Workshop:
    """`folder` is deleted after the run; `kept` stays for the next one.

    `photos` is a folder with the user's own photographs, or None.
    """

    sizes: Sizes
    folder: Path
    kept: Path
    photos: Path | None = None
    _used: Iterator[str] = field(default_factory=lambda: iter(sentences(SENTENCES)), init=False)

    @cached_property
    def model(self) -> Model:
        """The weights that all of them load; each run converts them anew."""
        return Model(checkpoint(self.kept), self.folder / "models")

    @cached_property
    def photographs(self) -> list[Path]:
        """The JPEGs that all of them index."""
        if self.photos:
            return photographs.given(self.photos, self.sizes.pictures)
        return photographs.photographs(self.kept / photographs.NAME, self.sizes.pictures)

    @cached_property
    def pictures(self) -> Path:
        """A folder of links to those photographs, with nothing else in it."""
        folder = self.folder / "pictures"
        folder.mkdir()
        for n, path in enumerate(self.photographs):
            try:
                (folder / f"{n:05}.jpg").hardlink_to(path)
            except OSError:  # on another disk
                shutil.copy(path, folder / f"{n:05}.jpg")
        return folder

    def texts(self, count: int) -> list[str]:
        """`count` captions not yet searched for in this run."""
        return [next(self._used) for _ in range(count)]

    def requests(self) -> Iterator[bytes]:
        """Endless searches for captions; the server has forgotten a caption by its next turn."""
        return cycle([by_text(text) for text in self.texts(REQUESTS)])

    @cached_property
    def vectors(self) -> Vectors:
        """The gallery's vectors: float32, shape (gallery, DIMENSIONS)."""
        return generated_vectors.clip_like(self.sizes.gallery, DIMENSIONS, VECTOR_SEED)

    def saved(self, name: str, rows: Vectors) -> Path:
        """Save an array for a peer to read; returns the file."""
        path = self.folder / f"{name}.npy"
        if not path.exists():
            np.save(path, rows)
        return path

    @cached_property
    def filled(self) -> Path:
        """The folder of a stopped server whose database holds the gallery."""
        return self._filled("filled", self.vectors)

    @cached_property
    def filled_with_few(self) -> Path:
        """The same with the gallery's first vectors alone."""
        return self._filled("few", self.vectors[: self.sizes.few])

    def _filled(self, name: str, vectors: Vectors) -> Path:
        folder = self.folder / name
        folder.mkdir()
        with serving(folder, self.model):
            pass  # starting it creates the tables and its model's index
        server.fill(folder, vectors)
        return folder

    @contextmanager
    def searching(self) -> Iterator[Server]:
        """A running server with the gallery."""
        with serving(self.filled, self.model) as running:
            yield running

    @contextmanager
    def searching_few(self) -> Iterator[Server]:
        """A running server with few pictures."""
        with serving(self.filled_with_few, self.model) as running:
            yield running

    @contextmanager
    def indexing(self, precision: str | None = None) -> Iterator[Server]:
        """A running server with an empty database that is allowed to index `pictures`."""
        folder = self.folder / "indexing"
        folder.mkdir()
        try:
            with serving(folder, self.model, self.pictures, precision) as running:
                yield running
        finally:
            shutil.rmtree(folder, ignore_errors=True)
