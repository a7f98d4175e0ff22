"""Tables as Parquet, the vectors as fixed-size lists of float32. Only this imports pyarrow."""

from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import DatasetRejected
from app.runtime.dataset.tables import BATCH, JSON_KINDS, VECTOR, Batch, DataTable
from app.storage.disk import whole_file

GROUP = 8 * BATCH  # rows of a row group: 34 MB of vectors of 512 dimensions

TYPES = {
    **dict.fromkeys(("text", "hash", "uuid", *JSON_KINDS), pa.string()),
    "integer": pa.int64(),
    "number": pa.float64(),
    "moment": pa.timestamp("us", tz="UTC"),
    "local": pa.timestamp("us"),
    "bytes": pa.binary(),
}


def write(folder: Path, table: DataTable, dimensions: int, batches: Iterator[Batch]) -> int:
    """Write a table into the folder; returns the number of its rows. Raises OSError."""
    return _write(folder / f"{table.name}.parquet", table, dimensions, batches)


def write_part(path: Path, table: DataTable, dimensions: int, batches: Iterable[Batch]) -> None:
    """Write a part of a table, whole or not at all: a file in the folder of the table's name.

    Parts are read in the order of their names. Raises OSError.
    """
    with whole_file(path) as file:
        _write(file, table, dimensions, batches)


def count_rows(path: Path) -> int:
    """How many rows a file has. Raises DatasetRejected."""
    with _refusing(path):
        rows: int = pq.read_metadata(path).num_rows
        return rows


def _write(
    place: Path | BinaryIO, table: DataTable, dimensions: int, batches: Iterable[Batch]
) -> int:
    schema, count = _schema(table, dimensions), 0
    with pq.ParquetWriter(place, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(_to_arrow(schema, batch), row_group_size=GROUP)
            count += len(batch.rows)
    return count


def read(folder: Path, table: DataTable, dimensions: int) -> Iterator[Batch]:
    """Read it, at most BATCH rows at a time. Raises DatasetRejected."""
    schema = _schema(table, dimensions)
    for path in _places(folder, table):
        for arrow in _record_batches(path, schema, table.optional):
            columns = [arrow.column(name).to_pylist() for name in table.columns]
            rows = list(zip(*columns, strict=True))
            yield Batch(rows, _vectors(arrow, dimensions) if table.has_vectors else None)


def read_all_columns(path: Path, rows: int) -> Iterator[list[dict[str, Any]]]:
    """Another program's records by column, `rows` at a time. Raises DatasetRejected."""
    with _refusing(path), pq.ParquetFile(path) as file:
        for arrow in file.iter_batches(rows):
            yield arrow.to_pylist()


def _record_batches(path: Path, schema: Any, optional: Set[str]) -> Iterator[Any]:
    """Optional columns that the file lacks, since an earlier version wrote it, are null."""
    with _refusing(path), pq.ParquetFile(path) as file:
        there = [name for name in schema.names if name in file.schema_arrow.names]
        missing = [name for name in schema.names if name not in {*there, *optional}]
        if missing:
            raise DatasetRejected(f"{path} has no column {missing[0]}.")
        for arrow in file.iter_batches(BATCH, columns=there):
            nothing = {
                one.name: pa.nulls(arrow.num_rows, one.type)
                for one in schema
                if one.name not in there
            }
            columns = [nothing[n] if n in nothing else arrow.column(n) for n in schema.names]
            yield pa.record_batch(columns, names=schema.names).cast(schema)


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise DatasetRejected(f"{path} cannot be read: {told[0]}") from error


def _places(folder: Path, table: DataTable) -> list[Path]:
    """The table's file, or its parts."""
    parts = sorted((folder / table.name).glob("*.parquet"))
    return parts or [folder / f"{table.name}.parquet"]


def _schema(table: DataTable, dimensions: int) -> Any:
    found = [pa.field(name, TYPES[kind]) for name, kind in table.columns.items()]
    if table.has_vectors:
        found.append(pa.field(VECTOR, pa.list_(pa.float32(), dimensions)))
    return pa.schema(found)


def _to_arrow(schema: Any, batch: Batch) -> Any:
    columns = list(zip(*batch.rows, strict=True))
    arrays = [pa.array(values, schema.field(n).type) for n, values in enumerate(columns)]
    if batch.vectors is not None:
        numbers = pa.array(batch.vectors.ravel(), pa.float32())
        arrays.append(pa.FixedSizeListArray.from_arrays(numbers, batch.vectors.shape[1]))
    return pa.record_batch(arrays, schema=schema)


def _vectors(arrow: Any, dimensions: int) -> np.typing.NDArray[np.float32]:
    column = arrow.column(VECTOR)
    if column.null_count:
        raise DatasetRejected(f"The column {VECTOR} has rows without a vector.")
    numbers: np.typing.NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False)
    return numbers.reshape(-1, dimensions)
