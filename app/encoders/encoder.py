"""Texts and pictures to vectors, by both towers of a model, wherever they run; without torch."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from app.encoders.interfaces import Features, Pixels, TokenCut, Tokens, Towers
from app.encoders.truncation import unused_end
from app.vectors import Vectors, VectorSpace, unit_rows

Shape = Callable[[Image.Image], Image.Image]
"""An RGB picture to one of the size that a model takes."""

Tokenizer = Callable[[list[str]], Tokens]
"""Texts to token ids: int64, shape (len(texts), context length)."""


class OpenClipEncoder:
    """Both towers of one model on one device. Its methods may be called from any thread."""

    def __init__(
        self,
        towers: Towers,
        shape: Shape,
        tokenizer: Tokenizer,
        cut: TokenCut,
        space: VectorSpace,
        most: int | None = None,
    ) -> None:
        """`shape` resizes and crops; `cut` shortens tokens; `most` go at a time."""
        self.towers = towers
        self._shape = shape
        self._tokenizer = tokenizer
        self._cut = cut
        self._most = most
        self.space = space

    def on(
        self, towers: Towers, fingerprint: str | None = None, most: int | None = None
    ) -> "OpenClipEncoder":
        """The same encoder on other towers; `fingerprint`, where their vectors are others."""
        space = replace(self.space, fingerprint=fingerprint or self.space.fingerprint)
        return OpenClipEncoder(towers, self._shape, self._tokenizer, self._cut, space, most)

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
        """Resize and crop an RGB picture as the model was trained; its towers normalise."""
        return np.asarray(self._shape(image))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: float32, shape (len(texts), dimensions), unit rows."""
        tokens: Tokens = self._tokenizer(list(texts))
        return self._encoded(lambda rows: self.towers.texts(self._cut(rows)), tokens)

    def unused_end(self, text: str) -> str:
        """The words at the end of `text` that are beyond the model's context."""
        return unused_end(self._tokenizer, text)

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Vectors:
        """Embed prepared pictures: float32, shape (len(pixels), dimensions), unit rows."""
        return self._encoded(lambda rows: self.towers.images(np.stack(rows)), pixels)

    def _encoded(self, tower: Callable[[Any], Features], rows: Any) -> Vectors:
        """What `tower` makes of `rows`, as many at a time as go."""
        step = self._most or len(rows)
        parts = [tower(rows[start : start + step]) for start in range(0, len(rows), step)]
        return unit_rows(np.concatenate(parts))
