"""Captions and metadata: sent with a request, in sidecar files, and in tables.

A sidecar `picture.jpg.json` is a JSON object about one picture; a table `metadata.csv` or
`metadata.jsonl` has a row for each picture of its folder. Metadata is anything that Postgres can
store as jsonb. Malformed input raises AnnotationInvalid.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

from app.errors import AnnotationInvalid
from app.pictures.metadata.description import MAX_CAPTION_CHARACTERS, Taken, best_time
from app.sources.sidecars.table_cells import read_cell

MAX_METADATA_CHARACTERS = 20_000
MAX_METADATA_DEPTH = 32
MAX_SIDECAR_BYTES = 100_000
MAX_TABLE_BYTES = 20_000_000
MAX_TABLE_ROWS = 100_000
MAX_TABLE_COLUMNS = 1_000
MAX_SHOWN = 100  # characters of a name, in a message

COMPANIONS = {".csv", ".json", ".jsonl", ".md", ".txt", ".xml", ".xmp", ".yaml", ".yml"}
"""Suffixes of files that people keep beside pictures."""

TABLES = ("metadata.csv", "metadata.jsonl")
FILE_COLUMNS = ("file_name", "filename", "file", "path", "image", "name")
CAPTION_COLUMNS = ("caption", "text")
DELIMITERS = (",", ";", "\t")
NO_FIELDS: Mapping[str, str] = MappingProxyType({})

UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Annotation:
    """The caption and metadata of one picture, and when it was taken.

    `derived_place` is named from the position, for a picture of which nobody says the place.
    """

    caption: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    taken: Taken | None = None
    derived_place: dict[str, str] = field(default_factory=dict)

    def over(self, other: "Annotation") -> "Annotation":
        """Both merged; this one takes precedence."""
        caption = other.caption if self.caption is None else self.caption
        taken = best_time((self.taken, other.taken))
        place = self.derived_place or other.derived_place
        return Annotation(caption, other.metadata | self.metadata, taken, place)


def parse_metadata(text: str) -> dict[str, Any]:
    """A JSON object that Postgres can store."""
    if len(text) > MAX_METADATA_CHARACTERS:
        _too_long("metadata", MAX_METADATA_CHARACTERS)
    value = _json(text, "metadata")
    if not isinstance(value, dict):
        raise AnnotationInvalid('metadata: send a JSON object, for example {"place": "Lisbon"}.')
    return check_metadata(value)


def check_caption(text: str) -> str:
    """The caption itself, if Postgres can store it."""
    if len(text) > MAX_CAPTION_CHARACTERS:
        _too_long("caption", MAX_CAPTION_CHARACTERS)
    _check_storable(text, "caption")
    return text


def parse_sidecar(data: bytes) -> Annotation:
    """Parse a file like `{"caption": "…", "metadata": {…}}`; both keys are optional.

    Other keys become metadata too; a key that is also in `metadata` is taken from there.
    """
    return annotation_of(parse_object(data))


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object of a sidecar."""
    if len(data) > MAX_SIDECAR_BYTES:
        raise AnnotationInvalid(f"The sidecar has more than {MAX_SIDECAR_BYTES:,} bytes.")
    value = _json(_decoded(data, "The sidecar"), "The sidecar")
    if not isinstance(value, dict):
        raise AnnotationInvalid("The sidecar is not a JSON object.")
    return value


def annotation_of(value: dict[str, Any]) -> Annotation:
    """What our own sidecar says, once it is parsed."""
    return _annotation(value, ("caption",))


def parse_table(
    name: str, data: bytes, fields: Mapping[str, str] = NO_FIELDS
) -> dict[str, Annotation]:
    """The annotations of a table, by the file names in it.

    The first of FILE_COLUMNS present names the file, the first of CAPTION_COLUMNS is its
    caption, ignoring case; every other column is metadata. A CSV is
    UTF-8, delimited by comma, semicolon or tab, and has a header; its empty cells and its
    columns without a name are left out, the others are read by `read_cell` as `fields` types their
    column. A line of JSON is read like a sidecar. `name` is for messages.
    """
    if len(data) > MAX_TABLE_BYTES:
        raise AnnotationInvalid(f"{name} has more than {MAX_TABLE_BYTES / 1e6:g} MB.")
    text = _decoded(data, name)
    is_csv = name.lower().endswith(".csv")
    rows = _csv_rows(name, text, fields) if is_csv else _json_rows(name, text)
    found: dict[str, Annotation] = {}
    for count, (line, row) in enumerate(rows, 1):
        where = f"{name}, line {line}"
        if count > MAX_TABLE_ROWS:
            raise AnnotationInvalid(f"{where}: more than {MAX_TABLE_ROWS:,} rows.")
        try:
            _add(row, found)
        except AnnotationInvalid as error:
            raise AnnotationInvalid(f"{where}: {error}") from error
    return found


def _add(row: dict[str, Any], found: dict[str, Annotation]) -> None:
    name = _take(row, FILE_COLUMNS)
    if not isinstance(name, str) or not name.strip():
        raise AnnotationInvalid("no file is named.")
    if name.strip() in found:
        raise AnnotationInvalid(f"{name.strip()[:MAX_SHOWN]!r} has a row already.")
    found[name.strip()] = _annotation(row, CAPTION_COLUMNS)


def _csv_rows(
    name: str, text: str, fields: Mapping[str, str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The line number and the non-empty cells, by column, of each row."""
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise AnnotationInvalid(f"{name}, line {line}: NUL characters are not allowed.")
    # Strict, or a quote that nothing closes would swallow the rest of the table.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        columns = _columns(name, next(reader, []))
        for cells in filter(None, reader):
            if len(cells) != len(columns):
                cause = f"{len(cells)} cells under {len(columns)} columns"
                raise AnnotationInvalid(f"{name}, line {reader.line_num}: {cause}.")
            yield reader.line_num, _row(columns, cells, fields)
    except csv.Error as error:
        raise AnnotationInvalid(f"{name}, line {reader.line_num}: {error}.") from error


def _delimiter(text: str) -> str:
    """The first delimiter that yields a column of file names; a comma if none does."""
    header = text.partition("\n")[0]
    for delimiter in DELIMITERS:
        columns = {column.strip('" \r').lower() for column in header.split(delimiter)}
        if not columns.isdisjoint(FILE_COLUMNS):
            return delimiter
    return DELIMITERS[0]


def _columns(name: str, header: list[str]) -> list[str]:
    columns = [column.strip() for column in header]
    if len(columns) > MAX_TABLE_COLUMNS:
        raise AnnotationInvalid(f"{name}, line 1: more than {MAX_TABLE_COLUMNS:,} columns.")
    times = Counter(column.lower() for column in columns if column)
    twice = next((column for column in times if times[column] > 1), None)
    if twice:
        raise AnnotationInvalid(f"{name}, line 1: two columns are named {twice[:MAX_SHOWN]!r}.")
    if times.keys().isdisjoint(FILE_COLUMNS):
        raise AnnotationInvalid(f"{name}, line 1: no column is named {' or '.join(FILE_COLUMNS)}.")
    return columns


def _row(columns: list[str], cells: list[str], fields: Mapping[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {key: cell for key, cell in zip(columns, cells, strict=True) if key}
    words = {_first(row, FILE_COLUMNS), _first(row, CAPTION_COLUMNS)}
    return {
        key: cell if key in words else read_cell(cell, fields.get(key))
        for key, cell in row.items()
        if key in words or cell.strip()
    }


def _json_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, row in enumerate(io.StringIO(text, newline="\n"), 1):
        if row.strip():
            where = f"{name}, line {line}"
            if len(row) > MAX_SIDECAR_BYTES:
                _too_long(where, MAX_SIDECAR_BYTES)
            value = _json(row, where)
            if not isinstance(value, dict):
                raise AnnotationInvalid(f"{where}: this is not a JSON object.")
            yield line, value


def _annotation(values: dict[str, Any], caption_keys: tuple[str, ...]) -> Annotation:
    rest = dict(values)
    caption = _take(rest, caption_keys)
    if caption is not None and not isinstance(caption, str):
        raise AnnotationInvalid("caption: this is not text.")
    inner = rest.get("metadata")
    if isinstance(inner, dict):
        rest = {key: rest[key] for key in rest if key != "metadata"} | inner
    return Annotation(check_caption(caption) if caption else None, check_metadata(rest))


def _take(values: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Remove and return the value of the first of `names` that is a key; None without one."""
    key = _first(values, names)
    return None if key is None else values.pop(key)


def _first(values: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """The key that matches the first of `names` present, ignoring case."""
    keys = {key.lower(): key for key in values}
    return next((keys[name] for name in names if name in keys), None)


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise AnnotationInvalid(f"{what}: this is not JSON: {error}.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _decoded(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AnnotationInvalid(f"{what}, line {line}: this is not UTF-8.") from error


def check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """The object itself, if Postgres can store it as jsonb."""
    for text in _texts(value):
        _check_storable(text, "metadata")
    try:  # written out again: 1e999 is read as infinity, which no JSON can hold
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise AnnotationInvalid(f"metadata: this is not JSON: {error}.") from error
    if len(text) > MAX_METADATA_CHARACTERS:
        _too_long("metadata", MAX_METADATA_CHARACTERS)
    return value


def _texts(value: Any, level: int = 1) -> Iterator[str]:
    """Every key and string in a JSON value."""
    if level > MAX_METADATA_DEPTH:
        raise AnnotationInvalid(f"metadata: nested deeper than {MAX_METADATA_DEPTH} levels.")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _texts(one, level + 1)


def _check_storable(text: str, what: str) -> None:
    if UNSTORABLE.search(text):
        raise AnnotationInvalid(f"{what}: a NUL or half of a surrogate pair cannot be stored.")


def _too_long(what: str, allowed: int) -> NoReturn:
    raise AnnotationInvalid(f"{what}: more than {allowed:,} characters.")
