"""The kinds of files that a dataset may consist of."""

from app.errors import DatasetRejected
from app.runtime.dataset import npy_files
from app.runtime.dataset.manifest import FileKind
from app.runtime.dataset.tables import Files


def files_of(kind: FileKind) -> Files:
    """What reads and writes them. Raises DatasetRejected without pyarrow, which Parquet needs."""
    if kind == "npy":
        return npy_files
    try:
        from app.runtime.dataset import parquet_files  # pyarrow is an extra
    except ImportError as error:
        raise DatasetRejected(
            "Parquet needs the package pyarrow: install picture-search[parquet], or in a clone run "
            ".venv/bin/uv pip install pyarrow."
        ) from error
    return parquet_files
