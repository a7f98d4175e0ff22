"""A model in memory: loaded at first use, warmed up, unloaded on demand, with a cache of texts."""

import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from app import metrics
from app.encoders import memory
from app.encoders.batching import Batcher, Priority
from app.errors import ModelUnavailable
from app.vectors import Vectors, VectorSpace

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder
    from app.encoders.interfaces import Pixels

WARM_UP_SIDE = 256  # pixels of the picture that warms the image tower
FAILURE_SECONDS = 60.0  # before a load that failed is tried again: the hub may take half of that
TEXT_CACHE_ITEMS = 4_096  # embeddings of texts: 8 MB at 512 dimensions
MIN_CONTEXT_BYTES = 30  # of a text that fits into the context of any model, 32 tokens or more


class UnboundedPool:
    """Where models are loaded, any number of them; `app.encoders.model_pool` keeps only so many.

    A ResidentModel may hold its own lock when it calls these; they must not wait for that lock.
    """

    def used(self, resident: "ResidentModel") -> None:
        """Note a use of `resident`, loaded or not."""

    def taken(self, resident: "ResidentModel") -> AbstractContextManager[None]:
        """Reserve room for the encoder of `resident` before it is loaded."""
        return nullcontext()


@dataclass(frozen=True)
class _Failure:
    """Only what to say: the error itself would keep alive whatever its frames had loaded."""

    reason: str
    at: float  # of time.monotonic


class ResidentModel:
    """One encoder, loaded when it is used and unloaded by `unload`. Any thread may call.

    `load_encoder` makes the encoder, and makes the same one each time. `batcher` is shared by
    all models of the process, and closed by whoever opened it.
    """

    def __init__(
        self,
        load_encoder: Callable[[], "OpenClipEncoder"],
        batcher: Batcher,
        room: UnboundedPool | None = None,
    ) -> None:
        self._load_encoder = load_encoder
        self._batcher = batcher
        self._room = room or UnboundedPool()
        self._loading = threading.Lock()  # `unload` does not take it: it must not wait for a load
        self._encoder: OpenClipEncoder | None = None
        self._space: VectorSpace | None = None
        self._failure: _Failure | None = None
        self._texts = _TextCache()

    def load(self) -> "OpenClipEncoder":
        """The encoder, loaded and both towers warm; it stays usable when it is unloaded meanwhile.

        Raises ModelUnavailable, for FAILURE_SECONDS after any failure without another try, and
        where the weights are no longer those that were loaded first.
        """
        self._room.used(self)
        encoder = self._encoder  # read once: another thread may unload it at any moment
        if encoder is not None:
            return encoder
        with self._loading:
            encoder = self._encoder
            if encoder is None:
                self._check_failure()
                with self._room.taken(self):
                    encoder = self._encoder = self._warm_encoder()
            return encoder

    def load_ahead(self) -> None:
        """Begin to load on a thread of its own, which a stop does not wait for."""
        threading.Thread(target=self._try_load, name="model", daemon=True).start()

    def _try_load(self) -> None:
        with suppress(ModelUnavailable):  # whoever calls `load` gets the error
            self.load()

    def _check_failure(self) -> None:
        failure = self._failure
        if failure is not None and time.monotonic() - failure.at < FAILURE_SECONDS:
            raise ModelUnavailable(failure.reason)

    def _warm_encoder(self) -> "OpenClipEncoder":
        try:
            encoder = self._load_encoder()
            _warm(encoder)
            memory.trim()  # what loading took, a few hundred megabytes
            self._space = _same(self._space, encoder.space)
        except Exception as error:
            self._failure = _Failure(str(error) or type(error).__name__, time.monotonic())
            raise
        self._failure = None
        return encoder

    def unload(self) -> None:
        """Drop the encoder: what is under way with it ends, and the next use loads it again.

        The texts and the space stay known. A load under way is not stopped.
        """
        self._encoder = None

    @property
    def is_loaded(self) -> bool:
        """Whether the encoder is in memory, and not only for what is under way."""
        return self._encoder is not None

    @property
    def space(self) -> VectorSpace:
        """The space that its embeddings belong to; the first use loads. Raises as `load`."""
        return self._space or self.load().space

    def encode_texts(self, texts: Sequence[str], priority: Priority = Priority.SEARCH) -> Vectors:
        """Embed texts as `normalised`; those asked for are remembered.

        Shape (len(texts), dimensions), the caller's own. Raises ValueError for no texts, and as
        `load` where a text is not remembered.
        """
        self._room.used(self)
        if priority is Priority.SEARCH:
            self._batcher.note_search()  # also where all of it is remembered
        keys = [normalised(text) for text in texts]
        rows = self._texts.find(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in rows]
        if priority is Priority.SEARCH:
            metrics.observe_texts(len(rows), len(missing))
        if missing:
            encode = self.load().encode_texts
            encoded = self._batcher.submit(encode, missing, priority).result()
            new = {key: row.copy() for key, row in zip(missing, encoded, strict=True)}
            self._texts.keep(new)
            rows |= new
        return np.stack([rows[key] for key in keys])

    def unused_end(self, text: str) -> str:
        """The words at the end of `text` that its embedding ignores, beyond the model's context.

        Empty without loading the model if the text is short. Raises as `load`.
        """
        text = normalised(text)
        if len(text.encode()) <= MIN_CONTEXT_BYTES:
            return ""
        return self.load().unused_end(text)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Embed RGB pictures before any waiting indexing: shape (len(images), dimensions)."""
        encoder = self.load()
        pixels = [encoder.prepare(image) for image in images]
        return self._batcher.submit(encoder.encode_pixels, pixels, Priority.SEARCH).result()

    def prepare(self, image: Image.Image) -> "Pixels":
        """Prepare an RGB picture for `submit`, on the caller's thread."""
        return self.load().prepare(image)

    def submit(self, pixels: "Sequence[Pixels]", priority: Priority) -> "Future[Vectors]":
        """Queue prepared pictures: the future has shape (len(pixels), dimensions)."""
        return self._batcher.submit(self.load().encode_pixels, pixels, priority)

    def is_searched(self) -> bool:
        """Whether somebody searches, with any model: then others keep out of the way."""
        return self._batcher.is_searched()


def normalised(text: str) -> str:
    """The text that is encoded for `text`: NFC, stripped, each run of white space one space.

    Case is kept, since some tokenizers tell it.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


class _TextCache:
    """The embeddings of the TEXT_CACHE_ITEMS texts used last. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: OrderedDict[str, Vectors] = OrderedDict()  # least recently used first

    def find(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """The embeddings of those texts that are here, each of shape (dimensions,), to be read."""
        with self._lock:
            found = {text: self._rows[text] for text in texts if text in self._rows}
            for text in found:
                self._rows.move_to_end(text)
            return found

    def keep(self, rows: Mapping[str, Vectors]) -> None:
        """Remember embeddings, each of shape (dimensions,); nobody may write to them any more."""
        with self._lock:
            for text, row in rows.items():
                self._rows[text] = row
                self._rows.move_to_end(text)
            while len(self._rows) > TEXT_CACHE_ITEMS:
                self._rows.popitem(last=False)


def _warm(encoder: "OpenClipEncoder") -> None:
    """The first call of each tower allocates and tunes; no request should wait for that."""
    encoder.encode_texts(["a picture"])
    blank = Image.new("RGB", (WARM_UP_SIDE, WARM_UP_SIDE))
    encoder.encode_pixels([encoder.prepare(blank)])


def _same(known: VectorSpace | None, loaded: VectorSpace) -> VectorSpace:
    """The space of an encoder just loaded; vectors of two models must not meet in one index."""
    if known is not None and known != loaded:
        raise ModelUnavailable(
            f"{loaded.name}: the weights have changed since they were first loaded. "
            "Restart to use the new ones, or put the old ones back."
        )
    return loaded
