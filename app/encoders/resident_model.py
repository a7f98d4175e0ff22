"""A model in memory: loaded on first use, warmed up, unloaded on demand, with a text cache."""

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
from app.encoders.inputs.panoramas import tiles
from app.errors import ModelUnavailable
from app.vectors import Vectors, VectorSpace

if TYPE_CHECKING:
    from app.encoders.encoder import OpenClipEncoder
    from app.encoders.interfaces import Pixels

WARM_UP_SIDE = 256  # pixels of the picture that warms the image tower
FAILURE_SECONDS = 60.0  # before a failed load is retried: the hub may take half of it
TEXT_CACHE_ITEMS = 4_096  # embeddings of texts: 8 MB at 512 dimensions
MIN_CONTEXT_BYTES = 30  # a text this short fits any model's context, 32 tokens or more


class UnboundedPool:
    """Lets any number of models be loaded at once; `app.encoders.model_pool` has a bounded one.

    A ResidentModel may hold its own lock when it calls these methods; they must not wait for it.
    """

    def used(self, resident: "ResidentModel") -> None:
        """Record that `resident` was used, loaded or not."""

    def taken(self, resident: "ResidentModel") -> AbstractContextManager[None]:
        """Reserve room for the encoder of `resident` before it is loaded."""
        return nullcontext()


@dataclass(frozen=True)
class _Failure:
    """Just kind and message: the exception would keep alive whatever its frames had loaded."""

    kind: type[ModelUnavailable]
    reason: str
    at: float  # by time.monotonic


class ResidentModel:
    """One encoder, loaded on first use and unloaded by `unload`. Any thread may call.

    `load_encoder` creates the encoder, an equivalent one each time. `batcher` is shared by all
    models of the process, and is closed by whoever opened it.
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
        """The encoder, loaded and with both towers warm; still usable if unloaded in the meantime.

        Raises ModelUnavailable if loading fails, then for FAILURE_SECONDS without retrying, and
        if the weights are no longer the ones loaded first.
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
        """Start loading on a separate thread, which shutdown does not wait for."""
        threading.Thread(target=self._try_load, name="model", daemon=True).start()

    def _try_load(self) -> None:
        with suppress(ModelUnavailable):  # whoever calls `load` gets the error
            self.load()

    def _check_failure(self) -> None:
        failure = self._failure
        if failure is not None and time.monotonic() - failure.at < FAILURE_SECONDS:
            raise failure.kind(failure.reason)

    def _warm_encoder(self) -> "OpenClipEncoder":
        try:
            encoder = self._load_encoder()
            _warm(encoder)
            memory.trim()  # loading leaves a few hundred megabytes behind
            self._space = _same(self._space, encoder.space)
        except Exception as error:
            kind = type(error) if isinstance(error, ModelUnavailable) else ModelUnavailable
            reason = str(error) or type(error).__name__
            self._failure = _Failure(kind, reason, time.monotonic())
            raise
        self._failure = None
        return encoder

    def unload(self) -> None:
        """Drop the encoder: calls in progress finish, and the next use loads it again.

        The cached texts and the space are kept. A load in progress is not stopped.
        """
        self._encoder = None

    @property
    def is_loaded(self) -> bool:
        """Whether the encoder is loaded, and not merely held by calls still in progress."""
        return self._encoder is not None

    @property
    def space(self) -> VectorSpace:
        """The space its embeddings belong to; first access loads the model. Raises like `load`."""
        return self._space or self.load().space

    @property
    def logit_scale(self) -> float:
        """What training multiplied cosines by before their softmax. Raises like `load`."""
        return self.load().logit_scale

    def encode_texts(self, texts: Sequence[str], priority: Priority = Priority.SEARCH) -> Vectors:
        """Embed texts in their `normalised` form and cache the embeddings.

        Shape (len(texts), dimensions); the caller owns the array. Raises ValueError for no texts,
        and like `load` if a text is not cached.
        """
        self._room.used(self)
        if priority is Priority.SEARCH:
            self._batcher.note_search()  # even if everything is cached
        keys = [normalised(text) for text in texts]
        rows = self._texts.find(keys)
        missing = [key for key in dict.fromkeys(keys) if key not in rows]
        if priority is Priority.SEARCH:
            metrics.observe_texts(len(rows), len(missing))
        if missing:
            encoder = self.load()
            tokens = encoder.tokenise(missing)  # on the caller's thread, not on the lane's
            encoded = self._batcher.submit(encoder.encode_tokens, tokens, priority).result()
            new = {key: row.copy() for key, row in zip(missing, encoded, strict=True)}
            self._texts.keep(new)
            rows |= new
        return np.stack([rows[key] for key in keys])

    def note_repeated_text(self) -> None:
        """Record a search for a text whose answer was kept, as one for a cached text."""
        self._room.used(self)
        self._batcher.note_search()
        metrics.observe_texts(1, 0)

    def unused_end(self, text: str) -> str:
        """The words at the end of `text` that its embedding ignores, beyond the model's context.

        For a short text this is empty without loading the model. Raises like `load`.
        """
        text = normalised(text)
        if len(text.encode()) <= MIN_CONTEXT_BYTES:
            return ""
        return self.load().unused_end(text)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Embed RGB pictures ahead of any queued indexing: shape (len(images), dimensions)."""
        pixels = [self.prepare(image) for image in images]
        return self.submit(pixels, Priority.SEARCH).result()

    def prepare(self, image: Image.Image) -> "Pixels":
        """Prepare an RGB picture for `submit`, on the caller's thread; a panorama in tiles."""
        encoder = self.load()
        prepared = [encoder.prepare(tile) for tile in tiles(image)]
        return prepared[0] if len(prepared) == 1 else np.stack(prepared)

    def submit(self, pixels: "Sequence[Pixels]", priority: Priority) -> "Future[Vectors]":
        """Queue prepared pictures; the future's result has shape (len(pixels), dimensions)."""
        return self._batcher.submit(self.load().encode_pixels, pixels, priority)

    def is_searched(self) -> bool:
        """Whether searches are coming in, on any model, so that other work should hold back."""
        return self._batcher.is_searched()


def normalised(text: str) -> str:
    """The form of `text` that is encoded: NFC, stripped, each run of white space one space.

    Case is kept, since some tokenizers distinguish it.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


class _TextCache:
    """Embeddings of the TEXT_CACHE_ITEMS most recently used texts. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: OrderedDict[str, Vectors] = OrderedDict()  # least recently used first

    def find(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """The embeddings of those texts that are cached, each of shape (dimensions,), read-only."""
        with self._lock:
            found = {text: self._rows[text] for text in texts if text in self._rows}
            for text in found:
                self._rows.move_to_end(text)
            return found

    def keep(self, rows: Mapping[str, Vectors]) -> None:
        """Cache embeddings, each of shape (dimensions,); they must not be written to afterwards."""
        with self._lock:
            for text, row in rows.items():
                self._rows[text] = row
                self._rows.move_to_end(text)
            while len(self._rows) > TEXT_CACHE_ITEMS:
                self._rows.popitem(last=False)


def _warm(encoder: "OpenClipEncoder") -> None:
    """Call each tower once: first calls allocate and tune, and no request should wait for that."""
    encoder.encode_texts(["a picture"])
    blank = Image.new("RGB", (WARM_UP_SIDE, WARM_UP_SIDE))
    encoder.encode_pixels([encoder.prepare(blank)])


def _same(known: VectorSpace | None, loaded: VectorSpace) -> VectorSpace:
    """Check and return a new encoder's space: one index must not mix two models' vectors."""
    if known is not None and known != loaded:
        raise ModelUnavailable(
            f"{loaded.name}: the weights have changed since they were first loaded. "
            "Restart to use the new ones, or put the old ones back."
        )
    return loaded
