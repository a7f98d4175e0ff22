"""Reads what clip-retrieval writes: `img_emb/img_emb_0.npy` beside `metadata/metadata_0.parquet`.

Its files say nothing of the model, so whoever imports has to. Nor do they say where the pictures
are now: one is known by its URL, by its path where that is absolute, or else by its name alone.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from app.catalog import collections
from app.database.connections import Sessions
from app.errors import DatasetRejected, IndexGone
from app.index import vector_indexes
from app.pictures.formats import FORMATS, UNKNOWN
from app.runtime.dataset.checking import HASH
from app.runtime.dataset.file_kinds import files_of
from app.runtime.dataset.importing import Dataset, Progress, Target, load
from app.runtime.dataset.loading import Loading
from app.runtime.dataset.npy_files import read_vectors
from app.runtime.dataset.tables import BATCH, IMAGES, Batch, DataTable, Row
from app.sources.interfaces import RECORD_SCHEME
from app.vectors import Vectors, unit_rows

VECTORS, RECORDS = "img_emb", "metadata"
NUMBER = re.compile(r"_(\d+)$")
NOT_SAID = {"image_path", "url", "caption", "sha256", "md5", "width", "height", "exif", "key"}
"""Columns that are no metadata of a picture: they are read otherwise, or are about its download."""
ETAG = "imported"  # of no file: a job that finds one at the path reads it
SUFFIXES = {suffix: name for name, (_, suffix) in FORMATS.items()} | {".jpeg": "JPEG"}


@dataclass(frozen=True)
class Part:
    """The files of one number."""

    vectors: Path
    records: Path


def import_clip_retrieval(
    sessions: Sessions,
    names: tuple[str, str],
    folder: Path,
    model: tuple[str, str],
    progress: Progress,
) -> Loading:
    """Bring its pictures into the collection of that namespace and name.

    `model` are the name and tag of the one that made the vectors; the collection's has to be the
    same. Raises DatasetRejected, CollectionNotFound, and then nothing was imported.
    """
    parts = _find_parts(folder)
    target = _target(sessions, names, model)
    dimensions = target.index.dimensions
    total = sum(len(read_vectors(part.vectors, dimensions)) for part in parts)
    dataset = Dataset({IMAGES.name: total}, lambda table: _read(table, folder, parts, dimensions))
    dataset.check(target.index.space)
    return load(sessions, target, dataset, progress)


def _target(sessions: Sessions, names: tuple[str, str], model: tuple[str, str]) -> Target:
    with sessions.begin() as session:
        collection = collections.get(session, *names)
        try:
            index = vector_indexes.active_index(session, collection.id)
        except IndexGone as error:
            raise DatasetRejected(
                f"The collection {collection.name} has no model yet that the vectors' model could "
                "be compared with: start the server once with the model of the vectors."
            ) from error
    space = index.space
    if (space.model, space.pretrained) != model:
        raise DatasetRejected(
            f"The vectors are said to be of {'@'.join(filter(None, model))}, but those of the "
            f"collection {collection.name} are of {space.name}: they cannot be compared."
        )
    return Target(collection, index)


def _find_parts(folder: Path) -> list[Part]:
    found = {kind: _numbered(folder / kind, suffix)
             for kind, suffix in ((VECTORS, ".npy"), (RECORDS, ".parquet"))}  # fmt: skip
    if not found[VECTORS]:
        raise DatasetRejected(
            f"{folder} has no {VECTORS}/{VECTORS}_0.npy: name the folder that clip-retrieval "
            "inference wrote."
        )
    if lonely := sorted(found[VECTORS].keys() ^ found[RECORDS].keys()):
        lacking = RECORDS if lonely[0] in found[VECTORS] else VECTORS
        raise DatasetRejected(f"{folder / lacking} has no file with the number {lonely[0]}.")
    return [Part(found[VECTORS][n], found[RECORDS][n]) for n in sorted(found[VECTORS])]


def _numbered(folder: Path, suffix: str) -> Mapping[int, Path]:
    paths = ((NUMBER.search(path.stem), path) for path in folder.glob(f"*{suffix}"))
    return {int(match[1]): path for match, path in paths if match}


def _read(table: DataTable, folder: Path, parts: list[Part], dimensions: int) -> Iterator[Batch]:
    """The rows of all parts. Raises DatasetRejected."""
    files_of("parquet")  # says what is missing without pyarrow
    from app.runtime.dataset.parquet_files import read_all_columns

    first = 0
    for part in parts:
        vectors, done = read_vectors(part.vectors, dimensions), 0
        for records in read_all_columns(part.records, BATCH):
            some = vectors[done : done + len(records)]
            if len(some) < len(records):
                break
            rows = [_row(first + done + n, one, folder.name) for n, one in enumerate(records)]
            yield Batch(rows, _unit(some, part.vectors))
            done += len(records)
        else:
            if done == len(vectors):
                first += done
                continue
        raise DatasetRejected(
            f"{part.records} does not have as many rows as {part.vectors}, which has "
            f"{len(vectors)}."
        )


def _unit(vectors: Vectors, path: Path) -> Vectors:
    """In half precision they are a little longer or shorter than 1."""
    try:
        return unit_rows(np.asarray(vectors, np.float32))
    except ValueError as error:
        raise DatasetRejected(f"{path}: {error}.") from error


def _row(number: int, record: Mapping[str, Any], name: str) -> Row:
    path = _path(record, name, number)
    said = {key: value for key, value in record.items() if key not in NOT_SAID and _is_plain(value)}
    known = record.get("sha256")
    is_known = isinstance(known, str) and HASH.fullmatch(known)
    caption = record.get("caption")
    metadata = json.dumps(said, ensure_ascii=False)
    values = {
        "id": number,
        "path": path,
        # Of a file that nobody has read, the path alone tells it apart.
        "sha256": known if is_known else hashlib.sha256(path.encode()).hexdigest(),
        "etag": ETAG,
        "bytes": 0,
        "width": _side(record, "width"),
        "height": _side(record, "height"),
        "format": SUFFIXES.get(PurePosixPath(path.partition("?")[0]).suffix.lower(), UNKNOWN),
        "caption": caption if isinstance(caption, str) else None,
        "metadata": metadata,
        "said_caption": caption if isinstance(caption, str) else None,
        "said_metadata": metadata,
        "created_at": datetime.now(UTC),
    }
    return tuple(values.get(column) for column in IMAGES.columns)


def _is_plain(value: object) -> bool:
    """Whether it is a text, a truth value or a number that JSON has."""
    return isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _path(record: Mapping[str, Any], name: str, number: int) -> str:
    url, path = (record.get(key) for key in ("url", "image_path"))
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return url
    if isinstance(path, str) and path.startswith("/"):
        return path
    return f"{RECORD_SCHEME}{name}/{path if isinstance(path, str) and path else number}"


def _side(record: Mapping[str, Any], name: str) -> int:
    """Width or height in pixels, 0 where it is not known."""
    value = record.get(name)
    return value if isinstance(value, int) else 0
