"""The fields that filters, orders and facets may name: columns, and keys of the metadata.

A collection declares types of some metadata keys, which are then indexed. `metadata.<key>` is any
other key, its type that of the value it is compared with. Whatever the metadata hold, no field's
expression fails: it is null where the value is not of the type.
"""

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Numeric,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from app.database.tables import images
from app.errors import CollectionRejected, FilterRejected

MAX_FIELDS = 50  # declared: each has an index that every new picture is entered in
MAX_KEY_CHARACTERS = 100  # of a metadata key that is not declared
MAX_SHOWN = 100  # characters of a name or a value, in a message
CUT = 200  # characters of a text that are indexed: a btree's entry has 2,704 bytes at most
MAX_BIGINT = 2**63 - 1
MAX_DIGITS = 300  # characters of a number: it fits into an index, and its magnitude into a double

TYPES = ("text", "number", "boolean", "date", "tags")
"""What a field may hold; tags are a list of strings."""

ANYTHING = "anything"
"""The type of an undeclared key when it is only asked whether it is there: all but null."""

COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("id", "bytes", "width", "height"), "number"),
    **dict.fromkeys(("path", "format", "caption", "origin"), "text"),
    **dict.fromkeys(("taken_at", "created_at"), "date"),
}
"""The columns of images that are fields, and their types."""

SQL_TYPES: Mapping[str, Any] = {
    "text": Text(),
    "tags": Text(),
    "number": Numeric(),
    "boolean": Boolean(),
    "date": DateTime(timezone=True),
}
"""Those of the values that a field of a type is compared with."""

METADATA = "metadata."
RESERVED = {*COLUMNS, "and", "or", "not", "metadata"}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
REPRESENTABLE = "'[0001-01-01 UTC,10000-01-01 UTC)'::tstzrange"
"""The moments that Python has: Postgres's begin in 4714 BC and end in the year 294276."""


@dataclass(frozen=True, eq=False)
class Field:
    """A field and its SQL on `images`; `key` is what is indexed and sorted by.

    It is `value` itself, but of a text of the metadata, a caption or an origin only the first CUT
    characters. Texts have the collation C: they sort by code point.
    """

    name: str
    kind: str  # one of TYPES
    value: ColumnElement[Any]
    key: ColumnElement[Any]
    integral: bool = False
    nullable: bool = True


def check_declared(fields: Mapping[str, str]) -> None:
    """Raise CollectionRejected unless these names and types can be a collection's fields."""
    if len(fields) > MAX_FIELDS:
        raise CollectionRejected(f"fields: {len(fields)} of them; {MAX_FIELDS} are allowed.")
    for name, kind in fields.items():
        if not NAME.fullmatch(name):
            raise CollectionRejected(
                f"fields: {shown(name)} is no name of a field: up to 40 letters, digits, _ and -, "
                "a letter or _ first."
            )
        if name in RESERVED:
            raise CollectionRejected(f"fields: {shown(name)} has a meaning of its own already.")
        if kind not in TYPES:
            raise CollectionRejected(
                f"fields: {shown(name)} has the type {shown(kind)}; types are {', '.join(TYPES)}."
            )


def find(name: str, declared: Mapping[str, str], undeclared: str = "text") -> Field:
    """The field of this name; `undeclared` is the type of a key that is not in `declared`.

    A declared key may also be written `metadata.<key>`. Raises FilterRejected.
    """
    if name in COLUMNS:
        return _column(name)
    key = name.removeprefix(METADATA)
    if key in declared:
        return declared_field(key, declared[key])
    if key == name:
        raise FilterRejected(f"there is no field {shown(name)}; {_available(declared)}.")
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or UNSTORABLE.search(key):
        raise FilterRejected(
            f"after {METADATA} a key of 1 to {MAX_KEY_CHARACTERS} characters is needed, "
            "without NUL and halves of surrogate pairs."
        )
    return _metadata(name, undeclared, literal(key, Text()))


def _available(declared: Mapping[str, str]) -> str:
    own = f", the declared {', '.join(declared)}" if declared else ""
    return f"there are {', '.join(COLUMNS)}{own}, and {METADATA}<key> for any other metadata"


def declared_field(name: str, kind: str) -> Field:
    """The field that a collection declares; name and type have passed `check_declared`."""
    return _metadata(name, kind, _constant(f"'{name}'", Text()))


def index_name(collection_id: int, name: str, kind: str) -> str:
    """The name of a declared field's index: 63 bytes at most, as Postgres allows."""
    return f"images_{collection_id}_{name}_{kind[:4]}"


def index_statement(collection_id: int, name: str, kind: str) -> str:
    """The DDL of a declared field's index, on the very expression that filters use.

    Filters reach it only together with `collection_id`. Its entries are bounded, so that no
    picture is refused for what its metadata hold.
    """
    field = declared_field(name, kind)
    on = f"(({_sql(field.key)}), id)"
    if kind == "tags":
        on = f"USING gin (({_sql(field.value)}) jsonb_path_ops)"
    return (
        f'CREATE INDEX IF NOT EXISTS "{index_name(collection_id, name, kind)}" ON images {on} '
        f"WHERE collection_id = {int(collection_id)}"
    )


def bound(field: Field, value: Any) -> ColumnElement[Any]:
    """A value of Python as a parameter that the field's expressions are compared with."""
    if field.integral and _is_bigint(value):
        return literal(int(value), BigInteger())  # a numeric would not reach the column's index
    return literal(value, SQL_TYPES[field.kind])


def bound_list(field: Field, values: Sequence[Any]) -> ColumnElement[Any]:
    """Values of Python as one array; without those that no integer is equal to."""
    if not field.integral:
        return literal(list(values), ARRAY(SQL_TYPES[field.kind]))
    whole = [int(one) for one in values if _is_bigint(one)]
    return literal(whole, ARRAY(BigInteger()))


def _is_bigint(value: Decimal) -> bool:
    return -MAX_BIGINT <= value <= MAX_BIGINT and value == int(value)


EXACT: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
LOOSE: Mapping[str, Callable[[Any, Any], Any]] = {**EXACT, "lt": operator.le, "gt": operator.ge}
"""What is true of two texts' beginnings wherever EXACT is true of the texts."""


def compare(field: Field, asking: str, value: Any) -> ColumnElement[bool]:
    """The field compared with a value of Python; `asking` is one of EXACT.

    A text that is shorter than a key's cut compares with the key as it does with the whole.
    """
    exact: ColumnElement[bool]
    if field.key is field.value or len(value) < CUT:
        exact = EXACT[asking](field.key, bound(field, value))
        return exact
    exact = EXACT[asking](field.value, bound(field, value))
    return and_(LOOSE[asking](field.key, bound(field, value[:CUT])), exact)


def shown(value: object) -> str:
    """A value as a message shows it, bounded and printable."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):  # of Python, not JSON; an integer of thousands of digits
        return f"this {type(value).__name__}"
    text = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    return text.encode(errors="backslashreplace").decode()


def _column(name: str) -> Field:
    column: ColumnElement[Any] = images.c[name]
    value, key, kind = column, column, COLUMNS[name]
    if kind == "text" and name != "path":  # the index of paths holds them whole
        value = column.collate("C")
        key = _cut(column)
    integral, nullable = kind == "number", bool(images.c[name].nullable)
    return Field(name, kind, value, key, integral, nullable)


def _metadata(name: str, kind: str, key: ColumnElement[str]) -> Field:
    entry = _Entry(
        images.c.metadata.op("->", return_type=JSONB())(key),
        images.c.metadata.op("->>", return_type=Text())(key),
    )
    return Field(name, kind, *EXPRESSIONS[kind](entry))


class _Entry(NamedTuple):
    """What the metadata hold under a key, as JSON and as text."""

    json: ColumnElement[Any]
    text: ColumnElement[str]

    def where(self, json_type: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """`value` where the JSON is of this type, else null: a CASE tests before it computes."""
        return case((self.is_a(json_type), value))

    def is_a(self, json_type: str) -> ColumnElement[bool]:
        return func.jsonb_typeof(self.json) == _constant(f"'{json_type}'", Text())


Expressions = tuple[ColumnElement[Any], ColumnElement[Any]]  # a field's value and key


def _text(entry: _Entry) -> Expressions:
    value = entry.where("string", entry.text).collate("C")
    return value, _cut(entry.where("string", entry.text))


def _number(entry: _Entry) -> Expressions:
    short = func.length(entry.text) <= _constant(str(MAX_DIGITS), Numeric())
    value = case((and_(entry.is_a("number"), short), cast(entry.json, Numeric())))
    return value, value


def _boolean(entry: _Entry) -> Expressions:
    value = entry.where("boolean", cast(entry.json, Boolean()))
    return value, value


def _date(entry: _Entry) -> Expressions:
    found = func.moment(entry.text, type_=DateTime(timezone=True))
    value = case((found.bool_op("<@")(_constant(REPRESENTABLE, Text())), found))
    return value, value


def _tags(entry: _Entry) -> Expressions:
    return entry.json, entry.where("array", entry.json)


def _anything(entry: _Entry) -> Expressions:
    value = func.nullif(entry.json, _constant("'null'::jsonb", JSONB()), type_=JSONB())
    return value, value


EXPRESSIONS: Mapping[str, Callable[[_Entry], Expressions]] = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "tags": _tags,
    ANYTHING: _anything,
}


def _cut(text: ColumnElement[str]) -> ColumnElement[str]:
    return func.left(text, _constant(str(CUT), Numeric()), type_=Text()).collate("C")


def _constant(sql: str, type_: Any) -> ColumnElement[Any]:
    """Written out, since a bound value would not be seen to be what an index has."""
    return literal_column(sql, type_)


def _sql(expression: ColumnElement[Any]) -> str:
    return str(expression.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
