"""Whether metadata have the types of the fields that their collection declares.

A value of another type is null to filters, orders and facets: what people send is refused, and for
what files say there is a note. Keys that only files fill are nobody's declaration: a value that
people send there, such as a number as `label`, is kept as it is.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.catalog.filters.field_expressions import MAX_DIGITS
from app.catalog.filters.field_names import METADATA, WRITTEN, display
from app.database.tables import collections
from app.errors import AnnotationInvalid

MOST_NAMED = 5  # values in one message
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:.*)?")  # as SQL's moment() reads it

TAKEN_AT = "taken_at"
"""A field of every picture that metadata would hide from whoever looks, and not from filters."""

PLACE = "place"
"""The key whose parts are fields of every collection: files have an object there."""


class Kind(NamedTuple):
    """Which JSON values a type of field takes, and how they are called."""

    takes: Callable[[Any], bool]
    words: str


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return len(f"{Decimal(repr(value)):f}") <= MAX_DIGITS


def _is_date(value: Any) -> bool:
    if not isinstance(value, str) or not DATE.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


KINDS: Mapping[str, Kind] = {
    "text": Kind(lambda value: isinstance(value, str), "a text"),
    "number": Kind(_is_number, "a number"),
    "boolean": Kind(lambda value: isinstance(value, bool), "true or false"),
    "date": Kind(_is_date, "a date in ISO 8601, such as 2024-05-31 or 2024-05-31T12:00:00Z"),
    "tags": Kind(
        lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
        "a list of texts",
    ),
}


def declared_fields(session: Session, collection_id: int) -> Mapping[str, str]:
    """The fields that a collection declares, with their types; none if it is gone."""
    query = select(collections.c.fields).where(collections.c.id == collection_id)
    return session.execute(query).scalar_one_or_none() or {}


def file_fields(session: Session, collection_id: int) -> Mapping[str, str]:
    """The types of all keys that files may fill: of every collection, and those it declares."""
    return {**WRITTEN, **declared_fields(session, collection_id)}


def check_values(session: Session, collection_id: int, metadata: Mapping[str, Any]) -> None:
    """Raise AnnotationInvalid where a value has not the type of its field; null removes a key."""
    faults = misfits(metadata, declared_fields(session, collection_id) if metadata else {})
    if faults:
        raise AnnotationInvalid(f"{faults}.")


def misfits(metadata: Mapping[str, Any], declared: Mapping[str, str]) -> str:
    """Which values have not the type of their field, MOST_NAMED at most; empty if all have it."""
    return "; ".join(islice(_misfits(metadata, declared), MOST_NAMED))


def _misfits(metadata: Mapping[str, Any], declared: Mapping[str, str]) -> Iterator[str]:
    if metadata.get(TAKEN_AT) is not None:
        yield (
            f"{METADATA}{TAKEN_AT}: when a picture was taken is read from its file or an XMP "
            "sidecar: write the date there, or choose another name here"
        )
    for key, kind in declared.items():
        value = metadata.get(key)
        if value is None or KINDS[kind].takes(value) or _is_as_in_files(key, value):
            continue
        fault = f"is not {KINDS[kind].words}"
        if kind == "number" and isinstance(value, (int, float)) and not isinstance(value, bool):
            fault = f"has more than {MAX_DIGITS} digits"
        yield (
            f"{METADATA}{key}: {display(value)} {fault}, and {key} is a field of the type {kind}"
        )


def _is_as_in_files(key: str, value: Any) -> bool:
    """Whether files have such a value there: a collection may declare the key differently."""
    if key == PLACE:
        return isinstance(value, dict)
    return key in WRITTEN and KINDS[WRITTEN[key]].takes(value)
