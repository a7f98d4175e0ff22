"""The inputs and outputs of a model's towers, on any runtime; importable without torch."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TOKENS_STEP = 4  # positions: a runtime prepares anew for each length it sees

Pixels = NDArray[np.uint8]
"""One prepared picture: uint8, shape (height, width, 3), RGB; a batch has a leading axis.

A panorama is prepared as its tiles, shape (tiles, height, width, 3).
"""

Tokens = NDArray[np.int64]
"""Token ids: int64, shape (texts, positions)."""

Features = NDArray[np.float32]
"""A tower's output: float32, shape (n, dimensions), rows of any norm."""


class Towers(Protocol):
    """Both towers, ready to run. Methods may be called from any thread."""

    @property
    def runtime(self) -> str:
        """`torch` or `openvino`."""

    @property
    def precision(self) -> str:
        """`fp32`, `bf16`, `fp16` or `int8`."""

    @property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`."""

    def texts(self, tokens: Tokens) -> Features:
        """Embed texts, at least one."""

    def images(self, batch: Pixels) -> Features:
        """Embed pictures: shape (n, height, width, 3), at least one."""


@dataclass(frozen=True)
class TokenCut:
    """Cuts token rows after the end of the longest text; it does not hold on to the model.

    A text ends at its largest token (`argmax`), at the first `end` (`eos`), or before the padding
    tokens `end` (`padding`); None: no cutting.
    """

    kind: str | None
    end: int | None = None

    def __call__(self, tokens: Tokens) -> Tokens:
        """The leading positions of `tokens` that are ever read, in multiples of TOKENS_STEP."""
        if self.kind is None:
            return tokens
        longest = int(self._ends(tokens).max()) + 1
        return np.ascontiguousarray(tokens[:, : -(-longest // TOKENS_STEP) * TOKENS_STEP])

    def _ends(self, tokens: Tokens) -> NDArray[np.intp]:
        """The last position that matters in each text."""
        ends: NDArray[np.intp]
        if self.kind == "argmax":
            ends = tokens.argmax(axis=1)
        elif self.kind == "eos":
            ends = (tokens == self.end).argmax(axis=1)
        else:
            padding_behind = (tokens[:, ::-1] != self.end).argmax(axis=1)  # also 0 if all is
            ends = tokens.shape[1] - 1 - padding_behind
        return ends
