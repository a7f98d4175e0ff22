"""The tables of a dataset, whatever kind of files they are written to.

Each table is one file, or a `.npy` file of its vectors beside its rows. Ids are those of the
database that was exported; an import gives new ones.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from app.vectors import Vectors

BATCH = 2_048  # rows in memory at a time: 4 MB of vectors of 512 dimensions

Kind = Literal[
    "text", "hash", "uuid", "integer", "number", "object", "list", "moment", "local", "bytes"
]
"""An `object` or `list` is a JSON text in memory; a `moment` has a time zone, a `local` time has
none; a `hash` is a SHA-256 in hex."""
JSON_KINDS: Set[Kind] = {"object", "list"}

Row = tuple[Any, ...]
VECTOR = "vector"


@dataclass(frozen=True)
class DataTable:
    """A table: its columns in the order of each row's values, and whether each row has a vector.

    Only `optional` columns may be null.
    """

    name: str
    columns: Mapping[str, Kind]
    has_vectors: bool = False
    optional: Set[str] = frozenset()

    def place(self, column: str) -> int:
        """Where in a row the column's value is."""
        return list(self.columns).index(column)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows, and their vectors, float32 (len(rows), dimensions), if the table has vectors."""

    rows: Sequence[Row]
    vectors: Vectors | None = None


class Files(Protocol):
    """A kind of files that tables are written to."""

    def write(
        self, folder: Path, table: DataTable, dimensions: int, batches: Iterator[Batch]
    ) -> int:
        """Write a table into the folder; returns the number of its rows. Raises OSError."""

    def read(self, folder: Path, table: DataTable, dimensions: int) -> Iterator[Batch]:
        """Read it, at most BATCH rows at a time. Raises DatasetRejected."""


IMAGES = DataTable(
    "images",
    {
        "id": "integer",
        "path": "text",  # as the catalog stores it
        "sha256": "hash",  # of the file
        "etag": "text",
        "bytes": "integer",
        "width": "integer",
        "height": "integer",
        "format": "text",
        "caption": "text",
        "metadata": "object",
        "said_caption": "text",
        "said_metadata": "object",
        "sidecar": "object",
        "embedded": "object",
        "upload_copy": "text",
        "origin": "text",
        "taken_at": "moment",
        "taken_local": "local",
        "perceptual_hash": "integer",
        "created_at": "moment",
        "external_id": "text",
        "found_text": "text",  # the words in the picture
        "frame_times": "list",  # of a video: when its pages are shown, in seconds
        "generated_caption": "text",
    },
    has_vectors=True,
    optional={"caption", "said_caption", "sidecar", "embedded", "upload_copy", "origin", "taken_at",
              "taken_local", "perceptual_hash", "external_id", "found_text", "frame_times",
              "generated_caption"},
)  # fmt: skip
PAGES = DataTable("pages", {"image_id": "integer", "region": "integer"}, has_vectors=True)
LABEL_SETS = DataTable(
    "label_sets",
    {"name": "text", "definition": "object", "logit_scale": "number", "prompts": "bytes"},
)
LABELS = DataTable(
    "labels",
    {"image_id": "integer", "label_set": "text", "label": "text", "probability": "number"},
)
QUERIES = DataTable(
    "queries", {"digest": "hash", "query": "text", "created_at": "moment"}, has_vectors=True
)
RATINGS = DataTable(
    "ratings",
    {
        "digest": "hash",  # of its query
        "search": "uuid",  # of the rated answer
        "image_id": "integer",
        "rating": "integer",
        "comment": "text",
        "created_at": "moment",
        "updated_at": "moment",
    },
    optional={"image_id", "comment"},
)

TABLES = (IMAGES, PAGES, LABEL_SETS, LABELS, QUERIES, RATINGS)
"""All tables, each after those that it refers to."""
