"""Sentence models, which embed captions and queries: in memory while they are used; without torch.

They share the lane to the models with everything else, so searches go first.
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from app.encoders import memory
from app.encoders.batching import Batcher, Priority
from app.encoders.held_while_used import HeldWhileUsed
from app.errors import AnnotatorUnavailable, ModelUnavailable
from app.vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.encoders.torch_models.sentence_encoding import SentenceEncoder
    from app.encoders.torch_models.sentence_files import SentenceFiles

IDLE_SECONDS = 600.0  # after which a model leaves the memory: a search would load it again
FAILURE_SECONDS = 60.0  # before a failed load is tried again: the hub may take half of it
AT_ONCE = 16  # captions in one call of a model: searches wait for it


@dataclass(frozen=True, eq=False)
class SentenceVectors:
    """Vectors of unit length, float32 (texts, dimensions), and whose they are."""

    fingerprint: str
    vectors: Vectors


class SentenceModel:
    """A sentence model, loaded on first use, and anew once its files have changed.

    Any thread may call.
    """

    def __init__(self, name: str, batcher: Batcher) -> None:
        self._name = name
        self._batcher = batcher
        self._held: HeldWhileUsed[SentenceEncoder] = HeldWhileUsed()
        self._failed: tuple[str, float] | None = None  # why, and when

    def check(self) -> None:
        """Raise AnnotatorUnavailable unless the package is installed that models are read by."""
        if find_spec("transformers") is None:
            raise AnnotatorUnavailable(
                f"sentence_model: {self._name} is read by the package transformers, which is not "
                "installed here: it comes with the extra multilingual, "
                "`pip install 'picture-search[multilingual]'`."
            )

    def fingerprint(self) -> str | None:
        """SHA-256 of its files, cheap while these are the same; None if they are not here."""
        with suppress(OSError):
            found = self._files_here()
            return None if found is None else found.fingerprint()
        return None

    def _files_here(self) -> "SentenceFiles | None":
        from app.encoders.torch_models.sentence_files import sentence_files_here

        return sentence_files_here(self._name)

    def load(self) -> "SentenceEncoder":
        """The model in memory, downloaded if needed.

        Raises AnnotatorUnavailable; ModelUnavailable, then for FAILURE_SECONDS without trying.
        """
        with self._held.use() as held:
            if held.value is None or self._is_changed(held.value):
                held.drop()
                self.check()
                held.value = self._load()
            return held.value

    def _load(self) -> "SentenceEncoder":
        if self._failed is not None and time.monotonic() - self._failed[1] < FAILURE_SECONDS:
            raise ModelUnavailable(self._failed[0])
        from app.encoders.torch_models import sentence_encoding  # takes seconds, hundreds of MB

        try:
            loaded = sentence_encoding.load(self._name)
        except ModelUnavailable as error:
            self._failed = (str(error), time.monotonic())
            raise
        self._failed = None
        memory.trim()
        return loaded

    def _is_changed(self, loaded: "SentenceEncoder") -> bool:
        """Whether its files are others now; not if one is away."""
        with suppress(OSError):
            found = self._files_here()
            return found is not None and found.state() != loaded.state
        return False

    def encode_queries(self, texts: "Sequence[str]") -> SentenceVectors:
        """Embed texts to search for, before anything else that waits. Raises as `load`."""
        loaded = self.load()
        rows = self._batcher.submit(loaded.encode_queries, texts, Priority.SEARCH).result()
        return SentenceVectors(loaded.fingerprint, rows)

    def encode_captions(self, texts: "Sequence[str]") -> SentenceVectors:
        """Embed texts to be found, after all searches. Raises as `load`."""
        loaded = self.load()
        parts = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]
        waiting = [
            self._batcher.submit(loaded.encode_captions, part, Priority.INDEXING) for part in parts
        ]
        return SentenceVectors(
            loaded.fingerprint, np.concatenate([one.result() for one in waiting])
        )

    @property
    def is_loaded(self) -> bool:
        """Whether it takes memory now."""
        return self._held.value is not None

    def close_if_idle(self) -> None:
        """Unload it if it has had nothing to do for a while."""
        self._held.drop_if_idle(IDLE_SECONDS)


class SentenceModels:
    """The sentence models of a process by their names, each made once. Any thread may call."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._lock = threading.Lock()
        self._made: dict[str, SentenceModel] = {}

    def of(self, name: str) -> SentenceModel:
        """The model of that name; this does not load it."""
        with self._lock:
            if name not in self._made:
                self._made[name] = SentenceModel(name, self._batcher)
            return self._made[name]

    def close_if_idle(self) -> None:
        """Unload those that have had nothing to do for a while."""
        with self._lock:
            made = list(self._made.values())
        for model in made:
            model.close_if_idle()
