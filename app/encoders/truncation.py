"""Finds the end of a text that does not fit into a model's context."""

import re
from collections.abc import Callable

import numpy as np

from app.encoders.interfaces import Tokens

# Each character of a script without spaces counts as a word.
WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003134f]|[^\s\u3040-\u30ff"
    r"\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003134f]+"
)


def unused_end(tokenizer: Callable[[list[str]], Tokens], text: str) -> str:
    """The words at the end of `text` that change none of its tokens; empty if there are none.

    `tokenizer` returns int64 of shape (texts, context). Only its output is compared, so any
    tokenizer that truncates will do.
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
