"""Splits a query into words as `image_words` splits what it indexes (migration 0010).

Postgres takes a run of Chinese or Japanese for one word, and `invoice-4711` for `invoice` and a
negative number.
"""

import re
import unicodedata

UNSPACED = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003134f"
)
RUN = re.compile(f"[{UNSPACED}]+")
PHRASE_OR_WORD = re.compile(r'-?"[^"]*"?|\S+')
SIGNS = str.maketrans(dict.fromkeys(r"_-./\+,;:()[]#", " "))
BOUNDARY = re.compile(r"(?<=[0-9])(?=[^0-9\s])|(?<=[^0-9\s])(?=[0-9])")


def spaced(query: str) -> str:
    """The query with a phrase in place of each run of a script without spaces.

    `query` and the result are in the syntax of websearch_to_tsquery.
    """
    parts = PHRASE_OR_WORD.findall(unicodedata.normalize("NFC", query))
    return " ".join(RUN.sub(_in_phrase if '"' in part else _as_phrase, part) for part in parts)


def numbers_apart(query: str) -> str:
    """The query with its numbers as words of their own: `invoice-4711` is `invoice 4711`."""
    return " ".join(map(_number_apart, PHRASE_OR_WORD.findall(query)))


def _as_phrase(run: re.Match[str]) -> str:
    before = "" if run.string[: run.start()] in {"", "-"} else " "
    return f'{before}"{" ".join(run.group())}" '


def _in_phrase(run: re.Match[str]) -> str:
    return f" {' '.join(run.group())} "


def _number_apart(part: str) -> str:
    sign = "-" if part.startswith("-") else ""
    words = part.removeprefix("-")
    is_phrase = words.startswith('"')
    words = words.strip('"')
    if not BOUNDARY.search(words):
        return part
    split = " ".join(BOUNDARY.sub(" ", words.translate(SIGNS)).split())
    return f'{sign}"{split}"' if sign or is_phrase else split
