"""Errors for names of fields, label sets and labels that do not exist: each names the nearest."""

from collections.abc import Iterable

from app.catalog.filters.field_names import (
    COUNTED,
    KNOWN,
    METADATA,
    NAME,
    POSITION,
    display,
)
from app.database.label_tables import OTHER
from app.database.tables import LABELS, Declared, LabelNames
from app.errors import FilterRejected
from app.nearest_name import nearest_name

CLOSE = 0.75  # how like a known name has to be to be meant: people have keys of their own
MOST_NAMED = 20  # names in a message, as many as a collection may have label sets
ALL_FIELDS = "docs/search.md#filters lists all fields"


def unknown_field(name: str, declared: Declared) -> FilterRejected:
    """The error for a name that is no field's."""
    if name.startswith(f"{LABELS}."):
        return _unknown_label_set(name, declared)
    near = nearest_name(name, (*KNOWN, POSITION, *declared), CLOSE)
    key = name if NAME.fullmatch(name) and not METADATA.startswith(name) else "<key>"
    return FilterRejected(
        f"there is no field {display(name)}{_or(near)} If it is in your pictures' metadata, write "
        f"{METADATA}{key}; {_declared(key)} {ALL_FIELDS}."
    )


def unknown_facet(name: str, declared: Declared) -> FilterRejected:
    """The error for a name that is no field's whose values can be counted."""
    if name.startswith(f"{LABELS}."):
        return _unknown_label_set(name, declared)
    key = name.removeprefix(METADATA)
    near = nearest_name(key, (*COUNTED, *declared), CLOSE)
    return FilterRejected(
        f"{display(name)} is not a declared field{_or(near)} Values are counted of format, of "
        "fields that the collection declares, of its label sets, and of fields filled from files. "
        f"{_declared(key)} {ALL_FIELDS}."
    )


def _declared(key: str) -> str:
    """How a key of the metadata becomes a field."""
    shown = key if NAME.fullmatch(key) else "<key>"
    fields = f'{{"fields": {{"{shown}": "text"}}}}'
    return f"PATCH /api/v1/collections/{{name}} with {fields} declares it."


def check_label(label: str, label_set: LabelNames) -> None:
    """Raise FilterRejected unless pictures can have that label by the set."""
    known = (*label_set["labels"], OTHER)
    if label not in known:
        near = nearest_name(label, known)
        raise FilterRejected(f"the label set has no label {display(label)}{_or(near, known)}")


def _unknown_label_set(name: str, declared: Declared) -> FilterRejected:
    sets = [
        one.removeprefix(f"{LABELS}.")
        for one, kind in declared.items()
        if not isinstance(kind, str)
    ]
    asked = name.split(".")[1]
    said = f"there is no label set {display(asked)} in this collection"
    return FilterRejected(said + _or(nearest_name(asked, sets), sets))


def _or(near: str | None, known: Iterable[str] = ()) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or else some."""
    if near:
        return f"; did you mean {near}?"
    named = sorted(known)
    more = ", …" if len(named) > MOST_NAMED else ""
    return f"; there are: {', '.join(named[:MOST_NAMED])}{more}." if named else "."
