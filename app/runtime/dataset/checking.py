"""Whether rows that others may have written can be imported: before any of them is."""

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NoReturn
from uuid import UUID

import numpy as np

from app.errors import DatasetRejected, LabelsRejected
from app.pictures.formats import FORMATS, UNKNOWN
from app.pictures.video.frame_reading import MAX_VIDEO_FRAMES
from app.runtime.dataset.tables import IMAGES, LABEL_SETS, RATINGS, Batch, DataTable, Kind
from app.understanding.labels.label_set_rows import STORED_NUMBERS
from app.understanding.labels.labels import LabelSet, check_set
from app.vectors import UNIT_TOLERANCE, Vectors, VectorSpace

MAX_TEXT_CHARACTERS = 1_000_000  # of any text, metadata included
MAX_INTEGER = 2**63
MAX_SIDE = 2**31  # of a picture, in pixels: what the column takes
HASH = re.compile(r"[0-9a-f]{64}")
RATED = range(1, 11)
STORED = np.dtype(STORED_NUMBERS)


def check_batch(table: DataTable, batch: Batch, space: VectorSpace, first: int) -> None:
    """Raise DatasetRejected, naming the row, unless Postgres and this program take all of them.

    `first` is the number of the first row in its table, counted from 1.
    """
    more = FURTHER.get(table.name)
    for number, row in enumerate(batch.rows, first):
        refuse = partial(_refuse, table, number)
        for (name, kind), value in zip(table.columns.items(), row, strict=True):
            if value is None:
                if name not in table.optional:
                    refuse(name, "is missing")
            elif fault := FAULTS[kind](value):
                refuse(name, fault)
        if more is not None:
            more(dict(zip(table.columns, row, strict=True)), space, refuse)
    if batch.vectors is not None:
        _check_vectors(table, batch.vectors, first)


def _refuse(table: DataTable, number: int, name: str, fault: str) -> NoReturn:
    raise DatasetRejected(f"{table.name}, row {number}: {name} {fault}.")


def _check_vectors(table: DataTable, vectors: Vectors, first: int) -> None:
    lengths = np.linalg.norm(vectors, axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= UNIT_TOLERANCE))  # NaN and infinity too
    if len(wrong):
        _refuse(table, first + int(wrong[0]), "the vector", "is not finite, or not of length 1")


def _text_fault(value: str) -> str | None:
    if len(value) > MAX_TEXT_CHARACTERS:
        return f"has more than {MAX_TEXT_CHARACTERS:,} characters"
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        return "has a character that no text may have"
    return None


def _json_fault(kind: type, name: str, value: str) -> str | None:
    if fault := _text_fault(value):
        return fault
    try:
        found = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return "is not JSON"
    if not isinstance(found, kind):
        return f"is not a JSON {name}"
    return "has a character that no text may have" if "\\u0000" in value else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are Python's, not JSON's


def _uuid_fault(value: str) -> str | None:
    try:
        UUID(value)
    except ValueError:
        return "is not a UUID"
    return None


def _never(_: object) -> None:
    """The files' reader has checked it."""


FAULTS: Mapping[Kind, Callable[[Any], str | None]] = {
    "text": _text_fault,
    "hash": lambda value: None if HASH.fullmatch(value) else "is not a SHA-256 in hex",
    "uuid": _uuid_fault,
    "integer": lambda value: None if -MAX_INTEGER <= value < MAX_INTEGER else "is too large",
    "number": lambda value: None if np.isfinite(value) else "is not finite",
    "object": partial(_json_fault, dict, "object"),
    "list": partial(_json_fault, list, "array"),
    "moment": _never,
    "local": _never,
    "bytes": _never,
}

Refuse = Callable[[str, str], NoReturn]


def _check_image(row: Mapping[str, Any], _: VectorSpace, refuse: Refuse) -> None:
    path: str = row["path"]
    if not path.strip("/") or ".." in PurePosixPath(path).parts:
        refuse("path", f"{path[:100]!r} leads nowhere, or out of its folder")
    if row["format"] not in FORMATS and row["format"] != UNKNOWN:
        refuse("format", f"{row['format'][:100]!r} is none of {', '.join(FORMATS)}, {UNKNOWN}")
    if not _are_times(json.loads(row["frame_times"] or "null")):
        refuse("frame_times", "are no seconds in ascending order")
    for name in ("bytes", "width", "height"):
        if not 0 <= row[name] < (MAX_INTEGER if name == "bytes" else MAX_SIDE):
            refuse(name, "is negative or too large")


def _are_times(found: Any) -> bool:
    """Whether these are the times of a video's pages, or there are none."""
    if found is None:
        return True
    if not isinstance(found, list) or not 0 < len(found) <= MAX_VIDEO_FRAMES:
        return False
    are_numbers = all(type(one) in {int, float} and 0 <= one < MAX_SIDE for one in found)
    return are_numbers and found == sorted(found)


def _check_label_set(row: Mapping[str, Any], space: VectorSpace, refuse: Refuse) -> None:
    try:
        check_set(LabelSet.from_json(row["name"], json.loads(row["definition"])))
    except LabelsRejected as error:
        refuse("definition", f"is refused: {str(error).rstrip('.')}")
    except (KeyError, TypeError, AttributeError):
        refuse("definition", "is none of a label set")
    size = STORED.itemsize * space.dimensions
    if len(row["prompts"]) % size or not np.isfinite(np.frombuffer(row["prompts"], STORED)).all():
        refuse("prompts", f"are no vectors of {space.dimensions} float32")


def _check_rating(row: Mapping[str, Any], _: VectorSpace, refuse: Refuse) -> None:
    if row["rating"] not in RATED:
        refuse("rating", f"is not {RATED[0]} to {RATED[-1]}")


FURTHER: Mapping[str, Callable[[Mapping[str, Any], VectorSpace, Refuse], None]] = {
    IMAGES.name: _check_image,
    LABEL_SETS.name: _check_label_set,
    RATINGS.name: _check_rating,
}
"""What is checked beyond the kinds of columns."""
