"""Golden queries in files: JSONL, or CSV with a header, read as they were written here or by hand.

A JSONL line is `{"text": "a tree", "relevant": [1, 2], "irrelevant": [3]}`, or has an `image_id` in
the place of the text. CSV has columns of these names, and spaces, commas or semicolons between ids.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from app.errors import GoldenQueryRejected
from app.feedback.golden.golden_rows import MAX_QUERIES, GoldenQuery
from app.feedback.golden.judged_queries import Judged, Origin, check

MAX_FILE_BYTES = 5_000_000
MAX_ID = 2**63 - 1  # Postgres's bigint
COLUMNS = ("text", "image_id", "relevant", "irrelevant", "origin")
SEPARATORS = re.compile(r"[\s,;]+")


def line_of(query: GoldenQuery | Judged) -> str:
    """A query as a line of JSONL, with its end."""
    asked = {"image_id": query.image_id} if query.text is None else {"text": query.text}
    judged = {name: getattr(query, name) for name in ("relevant", "irrelevant", "origin")}
    return json.dumps({**asked, **judged}, ensure_ascii=False) + "\n"


def parse(data: bytes) -> list[Judged]:
    """The queries of a file. Raises GoldenQueryRejected, which names the line."""
    if len(data) > MAX_FILE_BYTES:
        raise GoldenQueryRejected(
            f"The file has more than {MAX_FILE_BYTES // 1_000_000} MB, the maximum."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GoldenQueryRejected(f"The file is not UTF-8: byte {error.start}.") from error
    records = _json_lines(text) if text.lstrip().startswith("{") else _csv_rows(text)
    found = []
    for place, record in records:
        found.append(_judged(place, record))
        if len(found) > MAX_QUERIES:
            raise GoldenQueryRejected(
                f"The file has more than {MAX_QUERIES:,} queries, the maximum."
            )
    return found


def _json_lines(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise GoldenQueryRejected(f"line {number}: it is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise GoldenQueryRejected(f"line {number}: it is not a JSON object.")
        yield f"line {number}", record


def _csv_rows(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_names("line 1", header)
        for row in rows:
            place = f"line {rows.line_num}"
            if len(row) > len(header):
                raise GoldenQueryRejected(f"{place}: it has more cells than the header.")
            yield (
                place,
                {
                    name: _cell(place, name, value)
                    for name, value in zip(header, row, strict=False)
                    if value
                },
            )
    except csv.Error as error:
        raise GoldenQueryRejected(f"line {rows.line_num}: it is not CSV: {error}.") from error


def _check_names(place: str, names: Iterable[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            raise GoldenQueryRejected(
                f"{place}: {name!r} is unknown; there are {', '.join(COLUMNS)}."
            )


def _cell(place: str, name: str, value: str) -> object:
    if name in {"text", "origin"}:
        return value
    try:
        ids = [int(part) for part in SEPARATORS.split(value) if part]
    except ValueError as error:
        raise GoldenQueryRejected(
            f"{place}: {name}: {value[:40]!r} is not a list of ids."
        ) from error
    return ids if name != "image_id" else ids[0] if len(ids) == 1 else ids


def _judged(place: str, record: Mapping[str, Any]) -> Judged:
    _check_names(place, record)
    text, image_id = record.get("text"), record.get("image_id")
    if text is not None and not isinstance(text, str):
        raise GoldenQueryRejected(f"{place}: text: it has to be a string.")
    if image_id is not None and not _is_id(image_id):
        raise GoldenQueryRejected(f"{place}: image_id: it has to be the id of a picture.")
    judged = Judged(
        text,
        image_id,
        _ids(place, "relevant", record),
        _ids(place, "irrelevant", record),
        _origin(place, record),
        place,
    )
    check(judged)
    return judged


def _ids(place: str, name: str, record: Mapping[str, Any]) -> Sequence[int]:
    ids: Sequence[int] = record.get(name) or []
    if not isinstance(ids, list) or not all(map(_is_id, ids)):
        raise GoldenQueryRejected(f"{place}: {name}: it has to be a list of ids of pictures.")
    return ids


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID


def _origin(place: str, record: Mapping[str, Any]) -> Origin:
    named = record.get("origin", "imported")
    for origin in get_args(Origin):
        if named == origin:
            found: Origin = origin
            return found
    raise GoldenQueryRejected(f"{place}: origin: one of {', '.join(get_args(Origin))}.")
