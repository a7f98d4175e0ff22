"""The fields available to filters, orders and facets: columns and metadata keys.

A collection declares types of some metadata keys, which are then indexed. `metadata.<key>` is any
other key, typed like the value that it is compared with. A field is null if its value is not of
its type, so that no metadata can make an expression fail.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Numeric,
    Text,
    and_,
    cast,
    func,
    literal,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from app.catalog.filters.field_expressions import (
    EXPRESSIONS,
    INDEXED_CHARACTERS,
    MetadataValue,
    constant,
    index_prefix,
)
from app.catalog.filters.field_names import (
    CLOCK,
    COLUMNS,
    COUNTED,
    MAX_KEY_CHARACTERS,
    METADATA,
    UNSTORABLE,
    WRITTEN,
)
from app.catalog.filters.unknown_names import unknown_facet, unknown_field
from app.database.tables import Declared, images
from app.errors import FilterRejected

MAX_BIGINT = 2**63 - 1

WALL_CLOCK = "wall clock"
"""The type of `taken_at` where it is compared with dates that have no time zone."""

SQL_TYPES: Mapping[str, Any] = {
    "text": Text(),
    "tags": Text(),
    "number": Numeric(),
    "boolean": Boolean(),
    "date": DateTime(timezone=True),
    WALL_CLOCK: DateTime(),
}
"""The SQL types of values that fields are compared with."""


@dataclass(frozen=True, eq=False)
class Field:
    """A field and its SQL on `images`; `key` is what is indexed and sorted by.

    `key` equals `value`, except for metadata texts, captions and origins, of which only the first
    INDEXED_CHARACTERS characters are indexed. Texts have the collation C: they sort by code point.
    """

    name: str
    kind: str  # one of TYPES
    value: ColumnElement[Any]
    key: ColumnElement[Any]
    integral: bool = False
    nullable: bool = True


def find_field(name: str, declared: Declared, undeclared: str = "text") -> Field:
    """The field of that name; `undeclared` is the type of a key that is not in `declared`.

    Declared keys may also be written `metadata.<key>`. Raises FilterRejected.
    """
    if name in COLUMNS:
        return _column(name)
    key = name.removeprefix(METADATA)
    if isinstance(kind := declared.get(key), str):
        return declared_field(key, kind)
    if name in WRITTEN:
        return written_field(name)
    if name in CLOCK:
        return _clock_field(name)
    if key == name:
        raise unknown_field(name, declared)
    if not 0 < len(key) <= MAX_KEY_CHARACTERS or UNSTORABLE.search(key):
        raise FilterRejected(
            f"after {METADATA} a key of 1 to {MAX_KEY_CHARACTERS} characters is needed, "
            "without NUL characters and without halves of surrogate pairs."
        )
    return _metadata(name, undeclared, literal(key, Text()))


def declared_field(name: str, kind: str) -> Field:
    """A declared field; name and type have passed `check_declared`."""
    return _metadata(name, kind, constant(f"'{name}'", Text()))


def written_field(name: str) -> Field:
    """A field of WRITTEN; `place.city` is a key in an object."""
    *outer, key = name.split(".")
    value: ColumnElement[Any] = images.c.metadata
    for part in outer:
        value = value.op("->", return_type=JSONB())(constant(f"'{part}'", Text()))
    return _metadata(name, WRITTEN[name], constant(f"'{key}'", Text()), value)


def facet_field(name: str, declared: Declared) -> Field:
    """A field whose values can be counted. Raises FilterRejected."""
    if name not in {*declared, *COUNTED}:
        raise FilterRejected(f"facets: {unknown_facet(name, declared)}")
    return find_field(name, declared)


def index_name(collection_id: int, name: str, kind: str) -> str:
    """The name of a declared field's index: at most 63 bytes, Postgres's limit."""
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


def bind(field: Field, value: Any) -> ColumnElement[Any]:
    """A Python value as a parameter to compare the field's expressions with."""
    if field.integral and _is_bigint(value):
        return literal(int(value), BigInteger())  # a numeric would not use the column's index
    return literal(value, SQL_TYPES[field.kind])


def bind_list(field: Field, values: Sequence[Any]) -> ColumnElement[Any]:
    """Python values as one array; without those that no bigint can equal."""
    if not field.integral:
        return literal(list(values), ARRAY(SQL_TYPES[field.kind]))
    whole = [int(one) for one in values if _is_bigint(one)]
    return literal(whole, ARRAY(BigInteger()))


def _is_bigint(value: Decimal) -> bool:
    return -MAX_BIGINT <= value <= MAX_BIGINT and value == int(value)


COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
PREFIX_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    **COMPARISONS,
    "lt": operator.le,
    "gt": operator.ge,
}
"""What holds for the beginnings of two texts if COMPARISONS holds for the texts."""


def compare(field: Field, comparison: str, value: Any) -> ColumnElement[bool]:
    """Compare the field with a Python value; `comparison` is a key of COMPARISONS.

    For texts shorter than INDEXED_CHARACTERS, comparing the key is enough.
    """
    exact: ColumnElement[bool]
    if field.key is field.value or len(value) < INDEXED_CHARACTERS:
        exact = COMPARISONS[comparison](field.key, bind(field, value))
        return exact
    exact = COMPARISONS[comparison](field.value, bind(field, value))
    return and_(
        PREFIX_COMPARISONS[comparison](field.key, bind(field, value[:INDEXED_CHARACTERS])), exact
    )


def _column(name: str) -> Field:
    column: ColumnElement[Any] = images.c[name]
    value, key, kind = column, column, COLUMNS[name]
    if kind == "text" and name not in {"path", "external_id"}:  # these are indexed whole
        value = column.collate("C")
        key = index_prefix(column)
    integral, nullable = kind == "number", bool(images.c[name].nullable)
    return Field(name, kind, value, key, integral, nullable)


def wall_clock() -> Field:
    """When pictures were taken, by the clock there; its expression is that of the index."""
    in_utc = func.timezone(constant("'UTC'", Text()), images.c.taken_at)
    local = func.coalesce(images.c.taken_local, in_utc, type_=DateTime())
    return Field("taken_at", WALL_CLOCK, local, local)


def _clock_field(name: str) -> Field:
    local = wall_clock().value
    if name == "taken_day":
        day = func.to_char(local, constant("'YYYY-MM-DD'", Text()), type_=Text()).collate("C")
        return Field(name, "text", day, day)
    part = f"'{name.removeprefix('taken_')}'"
    number = cast(func.date_part(constant(part, Text()), local), Numeric())
    return Field(name, "number", number, number)


def _metadata(
    name: str,
    kind: str,
    key: ColumnElement[str],
    inside: ColumnElement[Any] = images.c.metadata,
) -> Field:
    entry = MetadataValue(
        inside.op("->", return_type=JSONB())(key),
        inside.op("->>", return_type=Text())(key),
    )
    return Field(name, kind, *EXPRESSIONS[kind](entry))


def _sql(expression: ColumnElement[Any]) -> str:
    return str(expression.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
