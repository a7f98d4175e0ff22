"""CLIP's own tokenizer without torch: byte pairs, with the vocabulary that open_clip ships.

open_clip's SimpleTokenizer gives the same ids, but importing it imports torch. Words are split with
the same `regex` package, since what counts as a letter depends on the Unicode version.
"""

import gzip
import html
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import ftfy
import numpy as np
import regex

from app.encoders.interfaces import Tokens

FILE = "bpe_simple_vocab_16e6.txt.gz"
MERGES = 48_894  # how many of the file's are used, after a header line
BYTES = 256  # the first symbols: bytes within a word, then bytes that end one
END = "</w>"  # suffix of a symbol that ends a word
SPECIAL = ("<start_of_text>", "<end_of_text>")
PLAIN = (range(0x21, 0x7F), range(0xA1, 0xAD), range(0xAE, 0x100))  # printable, kept as is
SHIFT = 0x100  # first of the characters that stand for all other bytes
WORDS = regex.compile(
    rf"{SPECIAL[0]}|{SPECIAL[1]}|'(?:s|t|re|ve|m|ll|d)|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+",
    regex.IGNORECASE,
)

Merges = list[tuple[str, str]]
"""Pairs of symbols to merge into one, the most frequent first."""


class ClipTokenizer:
    """Maps texts to token ids: int64, shape (len(texts), context). Any thread may call.

    Raises OSError or ValueError if open_clip's vocabulary cannot be read.
    """

    def __init__(self, context: int) -> None:
        """`context` is the number of positions; longer texts are truncated before the end token."""
        merges = read_merges()
        ids = vocabulary(merges)
        self.context = context
        self._start, self._end = (ids[name] for name in SPECIAL)
        self._special = {name: ids[name] for name in SPECIAL}
        self._bytes = [ids[character] for character in _characters()]
        # Maps a pair to its merged symbol: the smaller that id, the earlier the merge.
        self._merges = {(ids[a], ids[b]): ids[a + b] for a, b in merges}

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Token ids, zeros after each text's end."""
        rows = np.zeros((len(texts), self.context), np.int64)
        for row, text in zip(rows, texts, strict=True):
            found = [self._start, *self._encoded(text), self._end]
            row[: len(found)] = found
        return rows

    def _encoded(self, text: str) -> list[int]:
        """The ids of a text, as many as fit between the start and end tokens."""
        room = self.context - 2
        found: list[int] = []
        for match in WORDS.finditer(cleaned(text)):
            found += self._word(match.group())
            if len(found) >= room:
                break
        return found[:room]

    def _word(self, word: str) -> list[int]:
        if word in self._special:
            return [self._special[word]]
        symbols = [self._bytes[byte] for byte in word.encode()]
        symbols[-1] += BYTES
        while known := [pair for pair in pairwise(symbols) if pair in self._merges]:
            symbols = self._merged(symbols, min(known, key=self._merges.__getitem__))
        return symbols

    def _merged(self, symbols: list[int], pair: tuple[int, int]) -> list[int]:
        """The symbols with each adjacent `pair` merged into one, from left to right."""
        found: list[int] = []
        at = 0
        while at < len(symbols):
            if tuple(symbols[at : at + 2]) == pair:
                found.append(self._merges[pair])
                at += 2
            else:
                found.append(symbols[at])
                at += 1
        return found


def cleaned(text: str) -> str:
    """The form of `text` that is encoded: fixed by ftfy, HTML entities unescaped, lower case."""
    mended = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(mended.split()).lower()


def vocabulary(merges: Merges) -> dict[str, int]:
    """The id of each symbol."""
    singles = sorted(_characters(), key=lambda character: (ord(character) >= SHIFT, character))
    symbols = [*singles, *(one + END for one in singles), *(a + b for a, b in merges), *SPECIAL]
    return {symbol: number for number, symbol in enumerate(symbols)}


def read_merges() -> Merges:
    """The merges open_clip ships, read without importing it. Raises OSError or ValueError."""
    found = find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("open_clip is not installed")
    packed = Path(found.submodule_search_locations[0], FILE).read_bytes()
    lines = gzip.decompress(packed).decode().split("\n")[1 : MERGES + 1]
    return [(a, b) for a, b in (line.split() for line in lines)]


def _characters() -> list[str]:
    """The character that stands for each byte in the vocabulary, none of them white space."""
    plain = {byte for some in PLAIN for byte in some}
    others = [byte for byte in range(BYTES) if byte not in plain]
    return [
        chr(byte) if byte in plain else chr(SHIFT + others.index(byte)) for byte in range(BYTES)
    ]
