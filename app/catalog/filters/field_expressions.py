"""The SQL that reads a metadata value as a type of field.

An expression is null where the value is not of that type, so that no metadata can make it fail.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    Numeric,
    Text,
    and_,
    case,
    cast,
    func,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB

INDEXED_CHARACTERS = 200  # of a text: an entry of a btree has at most 2,704 bytes
MAX_DIGITS = 300  # of a number, so that it fits into an index, and its magnitude into a double

ANYTHING = "anything"
"""The type of an undeclared key in `exists`: everything but null."""

PYTHON_DATES = "'[0001-01-01 UTC,10000-01-01 UTC)'::tstzrange"
"""The range of Python's datetime; Postgres's timestamps range from 4714 BC to 294276."""


class MetadataValue(NamedTuple):
    """A metadata value, as JSON and as text."""

    json: ColumnElement[Any]
    text: ColumnElement[str]

    def where(self, json_type: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """`value` if the JSON has this type, else null: CASE tests before it evaluates."""
        return case((self.is_a(json_type), value))

    def is_a(self, json_type: str) -> ColumnElement[bool]:
        """Whether the JSON has this type, as `jsonb_typeof` names it."""
        return func.jsonb_typeof(self.json) == constant(f"'{json_type}'", Text())


Expressions = tuple[ColumnElement[Any], ColumnElement[Any]]  # value and key of a field


def _text(entry: MetadataValue) -> Expressions:
    value = entry.where("string", entry.text).collate("C")
    return value, index_prefix(entry.where("string", entry.text))


def _number(entry: MetadataValue) -> Expressions:
    short = func.length(entry.text) <= constant(str(MAX_DIGITS), Numeric())
    value = case((and_(entry.is_a("number"), short), cast(entry.json, Numeric())))
    return value, value


def _boolean(entry: MetadataValue) -> Expressions:
    value = entry.where("boolean", cast(entry.json, Boolean()))
    return value, value


def _date(entry: MetadataValue) -> Expressions:
    found = func.moment(entry.text, type_=DateTime(timezone=True))
    value = case((found.bool_op("<@")(constant(PYTHON_DATES, Text())), found))
    return value, value


def _tags(entry: MetadataValue) -> Expressions:
    return entry.json, entry.where("array", entry.json)


def _anything(entry: MetadataValue) -> Expressions:
    value = func.nullif(entry.json, constant("'null'::jsonb", JSONB()), type_=JSONB())
    return value, value


EXPRESSIONS: Mapping[str, Callable[[MetadataValue], Expressions]] = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "tags": _tags,
    ANYTHING: _anything,
}
"""The value and the key of a field, by its type."""


def index_prefix(text: ColumnElement[str]) -> ColumnElement[str]:
    """The first INDEXED_CHARACTERS characters, sorted by code point."""
    return func.left(text, constant(str(INDEXED_CHARACTERS), Numeric()), type_=Text()).collate("C")


def constant(sql: str, type_: Any) -> ColumnElement[Any]:
    """SQL as it is, inlined, because a bound parameter would not match the index's expression."""
    return literal_column(sql, type_)
