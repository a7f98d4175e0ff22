"""Encodes texts and pictures with a model's two towers, on any runtime; does not import torch."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from app.encoders.interfaces import Features, Pixels, TokenCut, Tokens, Towers
from app.vectors import Vectors, VectorSpace, unit_rows

Shape = Callable[[Image.Image], Image.Image]
"""Resizes and crops an RGB picture to the model's input size."""

TILED_AXES = 4  # of the array of a picture in tiles

Tokenizer = Callable[[list[str]], Tokens]
"""Maps texts to token ids: int64, shape (len(texts), context length)."""

# Each character of a script without spaces counts as a word.
WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003134f]|[^\s\u3040-\u30ff"
    r"\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003134f]+"
)


class OpenClipEncoder:
    """Both towers of one model on one device. Its methods may be called from any thread."""

    def __init__(
        self,
        towers: Towers,
        shape: Shape,
        tokenizer: Tokenizer,
        cut: TokenCut,
        space: VectorSpace,
        logit_scale: float,
        max_batch: int | None = None,
    ) -> None:
        """`shape` resizes and crops; `cut` trims token rows; `max_batch` is the largest batch.

        `logit_scale`, positive, is what training multiplied cosines by before their softmax.
        """
        self.towers = towers
        self._shape = shape
        self._tokenizer = tokenizer
        self._cut = cut
        self._max_batch = max_batch
        self.space = space
        self.logit_scale = logit_scale

    def on(
        self, towers: Towers, fingerprint: str | None = None, max_batch: int | None = None
    ) -> "OpenClipEncoder":
        """The same encoder on other towers; pass `fingerprint` if their vectors differ."""
        space = replace(
            self.space,
            fingerprint=fingerprint or self.space.fingerprint,
            precision="int8" if towers.precision == "int8" else "float",
        )
        parts = (self._shape, self._tokenizer, self._cut, space, self.logit_scale)
        return OpenClipEncoder(towers, *parts, max_batch)

    @property
    def runtime(self) -> str:
        """`torch` or `openvino`."""
        return self.towers.runtime

    @property
    def precision(self) -> str:
        """`fp32`, `bf16`, `fp16` or `int8`."""
        return self.towers.precision

    @property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return self.towers.device

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize and crop an RGB picture as in training; the image tower normalises the pixels."""
        return np.asarray(self._shape(image))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: float32, shape (len(texts), dimensions), unit rows."""
        return self.encode_tokens(self.tokenise(texts))

    def tokenise(self, texts: Sequence[str]) -> list[Tokens]:
        """Prepare texts for `encode_tokens`: a row of int64, shape (context length,), for each."""
        return list(self._tokenizer(list(texts)))

    def encode_tokens(self, tokens: Sequence[Tokens]) -> Vectors:
        """Embed prepared texts, one row of tokens each: float32, unit rows, in their order."""
        step = self._max_batch or len(tokens)
        return self._encoded(
            lambda some: self.towers.texts(self._cut(np.stack(some))), tokens, step
        )

    def unused_end(self, text: str) -> str:
        """The words at the end of `text` that do not fit into the model's context."""
        return unused_end(self._tokenizer, text)

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Vectors:
        """Embed prepared pictures: float32, shape (len(pixels), dimensions), unit rows.

        The vector of a picture in tiles is the mean of theirs, at unit length.
        """
        parts = [one if one.ndim == TILED_AXES else one[None] for one in pixels]
        rows = [row for part in parts for row in part]
        step = self._max_batch or len(pixels)
        vectors = self._encoded(lambda some: self.towers.images(np.stack(some)), rows, step)
        if len(rows) == len(pixels):
            return vectors
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        return unit_rows(np.add.reduceat(vectors, starts))

    def _encoded(self, tower: Callable[[Any], Features], rows: Any, step: int) -> Vectors:
        """Run `tower` over `rows`, `step` at a time; returns unit rows."""
        parts = [tower(rows[start : start + step]) for start in range(0, len(rows), step)]
        return unit_rows(np.concatenate(parts))


def unused_end(tokenizer: Tokenizer, text: str) -> str:
    """The words at the end of `text` that change none of its tokens; empty if there are none.

    Only the tokenizer's output is compared, so any tokenizer that truncates will do.
    """
    full = tokenizer([text])[0]
    if len(text.encode()) < len(full) - 1:  # a token is at least a byte
        return ""
    ends = [match.end() for match in WORD.finditer(text)]
    low, high = 0, len(ends) - 1  # words up to `high` suffice, those before `low` do not
    while low < high:
        middle = (low + high) // 2
        if np.array_equal(tokenizer([text[: ends[middle]]])[0], full):
            high = middle
        else:
            low = middle + 1
    return text[ends[high] :].strip() if ends else ""
