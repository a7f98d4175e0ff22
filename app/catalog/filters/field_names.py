"""The names of fields and their types: which every collection has, and which one can declare."""

import json
import re
from collections.abc import Mapping

from app.errors import CollectionRejected

MAX_FIELDS = 50  # per collection: each has an index that every insert updates
MAX_KEY_CHARACTERS = 100  # of an undeclared metadata key
MAX_DISPLAY_CHARACTERS = 100  # of a name or value in an error message

TYPES = ("text", "number", "boolean", "date", "tags")
"""Types of fields; tags are a list of strings."""

COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("id", "bytes", "width", "height"), "number"),
    **dict.fromkeys(("path", "external_id", "format", "caption", "origin"), "text"),
    **dict.fromkeys(("taken_at", "created_at"), "date"),
}
"""The columns of images that are fields, and their types."""

WRITTEN: Mapping[str, str] = {
    **dict.fromkeys(("tags", "people"), "tags"),
    "rating": "number",
    **dict.fromkeys(("title", "label", "album", "creator", "copyright", "camera", "lens"), "text"),
    **dict.fromkeys(("place.city", "place.state", "place.country"), "text"),
}
"""The metadata keys that files and sidecars fill, and their types: declared in every collection."""

CLOCK: Mapping[str, str] = {"taken_day": "text", "taken_month": "number", "taken_hour": "number"}
"""What the clock of the place told when a picture was taken: 2019-05-31, 1 to 12, 0 to 23."""

KNOWN: Mapping[str, str] = {**COLUMNS, **CLOCK, **WRITTEN}
"""The fields of every collection."""

COUNTED = ("format", *WRITTEN, *CLOCK)
"""The fields of every collection whose values can be counted."""

METADATA = "metadata."
POSITION = "position"
RESERVED = {*COLUMNS, *CLOCK, "and", "or", "not", "metadata"}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def check_declared(fields: Mapping[str, str]) -> None:
    """Raise CollectionRejected unless a collection can declare these fields."""
    if len(fields) > MAX_FIELDS:
        raise CollectionRejected(f"fields: {len(fields)} of them; {MAX_FIELDS} are allowed.")
    for name, kind in fields.items():
        if not NAME.fullmatch(name):
            raise CollectionRejected(
                f"fields: {display(name)} is not a field name: up to 40 letters, digits, _ "
                "and -, beginning with a letter or _."
            )
        if name in RESERVED:
            raise CollectionRejected(
                f"fields: {display(name)} is a reserved name: choose another one."
            )
        if kind not in TYPES:
            raise CollectionRejected(
                f"fields: {display(name)} has the type {display(kind)}; "
                f"types are {', '.join(TYPES)}."
            )


def display(value: object) -> str:
    """A value for an error message: printable and bounded."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # not JSON, or an integer of thousands of digits
        return f"this {type(value).__name__}"
    text = text if len(text) <= MAX_DISPLAY_CHARACTERS else text[:MAX_DISPLAY_CHARACTERS] + "…"
    return text.encode(errors="backslashreplace").decode()
