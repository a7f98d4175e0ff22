"""Tables as JSON Lines, with their vectors row by row in a `.npy` file beside them."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from app.errors import DatasetRejected
from app.runtime.dataset.tables import BATCH, JSON_KINDS, Batch, DataTable, Kind, Row
from app.vectors import Vectors

MAX_LINE_BYTES = 10_000_000
STORED = np.dtype("<f4")

TO_JSON: dict[Kind, Callable[[Any], Any]] = {
    **dict.fromkeys(JSON_KINDS, json.loads),
    "moment": datetime.isoformat,
    "local": datetime.isoformat,
    "bytes": lambda value: base64.b64encode(value).decode(),
}
FROM_JSON: dict[Kind, Callable[[Any], Any]] = {
    "text": lambda value: _of(str, value),
    "hash": lambda value: _of(str, value),
    "uuid": lambda value: _of(str, value),
    "integer": lambda value: _of(int, value),
    "number": lambda value: float(_of((int, float), value)),
    **dict.fromkeys(JSON_KINDS, lambda value: json.dumps(value, ensure_ascii=False)),
    "moment": datetime.fromisoformat,
    "local": datetime.fromisoformat,
    "bytes": lambda value: base64.b64decode(value, validate=True),
}


def write(folder: Path, table: DataTable, dimensions: int, batches: Iterator[Batch]) -> int:
    """Write a table into the folder; returns the number of its rows. Raises OSError."""
    count = 0
    with ExitStack() as stack:
        lines = stack.enter_context((folder / f"{table.name}.jsonl").open("w", encoding="utf-8"))
        vectors = None
        if table.has_vectors:
            vectors = stack.enter_context((folder / f"{table.name}.npy").open("wb"))
            _write_header(vectors, 0, dimensions)
        for batch in batches:
            lines.writelines(_line(table, row) for row in batch.rows)
            if vectors is not None and batch.vectors is not None:
                vectors.write(batch.vectors.astype(STORED).tobytes())
            count += len(batch.rows)
        if vectors is not None:
            _write_header(vectors, count, dimensions)
    return count


def read(folder: Path, table: DataTable, dimensions: int) -> Iterator[Batch]:
    """Read it, at most BATCH rows at a time. Raises DatasetRejected."""
    path = folder / f"{table.name}.jsonl"
    vectors = None
    if table.has_vectors:
        vectors = read_vectors(folder / f"{table.name}.npy", dimensions)
    count = 0
    try:
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(MAX_LINE_BYTES), b"")
            while some := list(islice(lines, BATCH)):
                rows = [_row(table, line, path, count + n) for n, line in enumerate(some, 1)]
                part = None if vectors is None else vectors[count : count + len(rows)]
                count += len(rows)
                yield Batch(rows, None if part is None else part.astype(np.float32))
    except OSError as error:
        raise DatasetRejected(f"{path} cannot be read: {error.strerror}.") from error
    if vectors is not None and count != len(vectors):
        raise DatasetRejected(f"{path} has {count} lines, but there are {len(vectors)} vectors.")


def read_vectors(path: Path, dimensions: int) -> Vectors:
    """The vectors of a `.npy` file, shape (n, dimensions), mapped from the disk.

    They may be float16, float32 or float64. Raises DatasetRejected.
    """
    try:
        found: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetRejected(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if found.dtype.kind != "f" or found.ndim != 2 or found.shape[1] != dimensions:
        raise DatasetRejected(
            f"{path} holds {found.dtype} of the shape {found.shape}; vectors of this model are "
            f"float32 of the shape (n, {dimensions})."
        )
    return found


def _write_header(file: BinaryIO, count: int, dimensions: int) -> None:
    """At the beginning; numpy leaves room in it for any count."""
    file.seek(0)
    header = {"descr": STORED.str, "fortran_order": False, "shape": (count, dimensions)}
    np.lib.format.write_array_header_1_0(file, header)


def _line(table: DataTable, row: Row) -> str:
    found = {
        name: TO_JSON[kind](value) if value is not None and kind in TO_JSON else value
        for (name, kind), value in zip(table.columns.items(), row, strict=True)
    }
    return json.dumps(found, ensure_ascii=False) + "\n"


def _row(table: DataTable, line: bytes, path: Path, number: int) -> Row:
    try:
        found = json.loads(line)
        of_earlier_versions = dict.fromkeys(table.optional)  # which do not know all of them
        found = of_earlier_versions | found
        values = ((found[name], kind) for name, kind in table.columns.items())
        return tuple(None if value is None else FROM_JSON[kind](value) for value, kind in values)
    except KeyError as error:
        raise DatasetRejected(f"{path}, line {number}: {error.args[0]} is missing.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise DatasetRejected(f"{path}, line {number}: {error}") from error


def _of(kind: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r} has the wrong type")
    return value
