"""The model in memory: loaded once under a lock, warmed, shared through the micro-batcher."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING

from PIL import Image

from app.batching import Batcher, Priority
from app.vectors import Vectors, VectorSpace

if TYPE_CHECKING:  # torch takes seconds to import: that happens at `load`, not here
    from app.encoders.openclip import OpenClipEncoder, Pixels

WARM_UP_SIDE = 256  # pixels of the picture that warms the image tower


class Resident:
    """One encoder, loaded at the first use of `load`, closed once.

    `load_encoder` makes the encoder; `batch_size` is the most items in one call of a tower.
    """

    def __init__(self, load_encoder: Callable[[], "OpenClipEncoder"], batch_size: int) -> None:
        self._load_encoder = load_encoder
        self._batcher = Batcher(batch_size)
        self._lock = threading.Lock()
        self._encoder: OpenClipEncoder | None = None
        self._failure: Exception | None = None

    def load(self) -> "OpenClipEncoder":
        """Load and warm both towers; later calls return the same encoder, or raise the same error.

        Raises ModelUnavailable.
        """
        with self._lock:
            if self._failure is not None:  # the hub was asked for half a minute: once is enough
                raise self._failure
            if self._encoder is None:
                try:
                    encoder = self._load_encoder()
                    _warm(encoder)
                except Exception as error:
                    self._failure = error
                    raise
                self._encoder = encoder
            return self._encoder

    def load_ahead(self) -> None:
        """Begin to load on a thread of its own, which a stop does not wait for."""
        threading.Thread(target=self._try_load, name="model", daemon=True).start()

    def _try_load(self) -> None:
        with suppress(Exception):  # whoever calls `load` gets the error
            self.load()

    @property
    def space(self) -> VectorSpace:
        """The space that its embeddings belong to."""
        return self.load().space

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts before any waiting indexing: shape (len(texts), dimensions)."""
        encode = self.load().encode_texts
        return self._batcher.submit(encode, texts, Priority.SEARCH).result()

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Embed RGB pictures before any waiting indexing: shape (len(images), dimensions)."""
        pixels = [self.prepare(image) for image in images]
        return self.submit(pixels, Priority.SEARCH).result()

    def prepare(self, image: Image.Image) -> "Pixels":
        """Prepare an RGB picture for `submit`, on the caller's thread."""
        return self.load().prepare(image)

    def submit(self, pixels: "Sequence[Pixels]", priority: Priority) -> "Future[Vectors]":
        """Queue prepared pictures: the future has shape (len(pixels), dimensions)."""
        return self._batcher.submit(self.load().encode_pixels, pixels, priority)

    def is_searched(self) -> bool:
        """Whether somebody searches: then others keep out of the way."""
        return self._batcher.is_searched()

    def close(self) -> None:
        """Stop the encoder's thread; what waits is cancelled."""
        self._batcher.close()


def _warm(encoder: "OpenClipEncoder") -> None:
    """The first call of each tower allocates and tunes; no request should wait for that."""
    encoder.encode_texts(["a picture"])
    blank = Image.new("RGB", (WARM_UP_SIDE, WARM_UP_SIDE))
    encoder.encode_pixels([encoder.prepare(blank)])
