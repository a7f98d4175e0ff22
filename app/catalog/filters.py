"""Filters: a JSON object becomes a condition on `images`.

`{"width": {"gte": 800}, "format": "PNG"}`: all must hold, and a bare value means `eq`. The keys
`and` and `or` take lists of filters, `not` takes one. `ne` is true of pictures that lack the
field, and `not` of exactly those that its filter is not true of. Whatever is wrong raises
FilterRejected, which names the place. Values reach SQL as bound parameters only.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, and_, any_, false, func, literal, or_, true
from sqlalchemy.dialects.postgresql import JSONB

from app.catalog.fields import (
    ANYTHING,
    COLUMNS,
    CUT,
    METADATA,
    UNSTORABLE,
    Field,
    bound,
    bound_list,
    compare,
    find,
    shown,
)
from app.errors import FilterRejected

MAX_DEPTH = 8  # of filters in and, or, not
MAX_CLAUSES = 100  # conditions in all; an empty filter counts as one
MAX_VALUES = 1_000  # in one `in`
MAX_CHARACTERS = 1_000  # in one string
MAX_NUMBER = 10**300  # its magnitude

COMPARISONS = ("eq", "ne", "in", "lt", "lte", "gt", "gte", "exists")
OPERATORS: Mapping[str, Sequence[str]] = {
    "text": (*COMPARISONS, "contains", "prefix"),
    "number": COMPARISONS,
    "boolean": ("eq", "ne", "in", "exists"),
    "date": COMPARISONS,
    "tags": ("contains", "in", "exists"),
    ANYTHING: ("exists",),
}
"""What each type of field can be asked."""


@dataclass(frozen=True, eq=False)
class Filter:
    """A condition on `images`, neither on the collection nor on tombstones.

    `condition` is for WHERE, where an index may serve it: it may be null where it is not true.
    `clauses` are those whose conjunction it is, each with its place, and never null.
    """

    condition: ColumnElement[bool]
    clauses: Sequence[tuple[str, ColumnElement[bool]]]


def parse(body: object, declared: Mapping[str, str]) -> Filter:
    """The filter that a JSON object describes; `declared` are the collection's fields.

    Everything passes `{}`. Raises FilterRejected.
    """
    found = list(_Parser(declared).conjuncts(body, "filter", 0))
    clauses = [(place, condition.is_(true())) for place, condition in found]
    return Filter(_all(condition for _, condition in found), clauses)


Conjuncts = Iterator[tuple[str, ColumnElement[bool]]]
"""Places and their conditions, all of which must hold."""


class _Parser:
    """Walks one filter, and counts its clauses as it goes."""

    def __init__(self, declared: Mapping[str, str]) -> None:
        self._declared = declared
        self._clauses = 0

    def conjuncts(self, body: object, place: str, depth: int) -> Conjuncts:
        if not isinstance(body, dict):
            raise FilterRejected(f"{place}: {shown(body)} is no filter: send an object.")
        if depth > MAX_DEPTH:
            raise FilterRejected(f"{place}: filters are nested more than {MAX_DEPTH} deep.")
        if not body:
            self._count(place)
        for name, inner in body.items():
            at = f"{place}.{shown_name(name)}"
            yield from COMBINATORS.get(name, _Parser.field)(self, name, inner, at, depth)

    def field(self, name: str, inner: object, place: str, _depth: int) -> Conjuncts:
        asked = inner if isinstance(inner, dict) else {"eq": inner}
        if not asked:
            raise FilterRejected(f'{place}: an operator is needed, as in {{"eq": …}}.')
        for asking, value in asked.items():
            at = f"{place}.{shown_name(asking)}" if asked is inner else place
            self._count(at)
            try:
                yield at, _condition(name, asking, value, self._declared)
            except FilterRejected as error:
                raise FilterRejected(f"{at}: {error}") from error

    def all_of(self, _name: str, inner: object, place: str, depth: int) -> Conjuncts:
        for at, one in self._listed(inner, place):
            yield from self.conjuncts(one, at, depth + 1)

    def any_of(self, _name: str, inner: object, place: str, depth: int) -> Conjuncts:
        listed = self._listed(inner, place)
        yield place, or_(false(), *(self._whole(one, at, depth + 1) for at, one in listed))

    def none_of(self, _name: str, inner: object, place: str, depth: int) -> Conjuncts:
        yield place, self._whole(inner, place, depth + 1).is_not(true())

    def _whole(self, body: object, place: str, depth: int) -> ColumnElement[bool]:
        return _all(condition for _, condition in self.conjuncts(body, place, depth))

    def _listed(self, inner: object, place: str) -> Iterator[tuple[str, object]]:
        if not isinstance(inner, list):
            raise FilterRejected(f"{place}: {shown(inner)} is no list of filters.")
        if not inner:
            self._count(place)
        for number, one in enumerate(inner):
            yield f"{place}[{number}]", one

    def _count(self, place: str) -> None:
        self._clauses += 1
        if self._clauses > MAX_CLAUSES:
            raise FilterRejected(f"{place}: the filter has more than {MAX_CLAUSES} clauses.")


COMBINATORS: Mapping[str, Callable[[_Parser, str, object, str, int], Conjuncts]] = {
    "and": _Parser.all_of,
    "or": _Parser.any_of,
    "not": _Parser.none_of,
}


def shown_name(name: object) -> str:
    """A name as a place has it: without its quotes."""
    return shown(name).removeprefix('"').removesuffix('"')


def _all(found: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    return and_(true(), *found)


def _condition(
    name: str, asking: str, value: object, declared: Mapping[str, str]
) -> ColumnElement[bool]:
    kind = ANYTHING if asking == "exists" else _inferred(value)
    field = find(name, declared, kind)
    _check_operator(field, asking)
    if asking == "contains" and _is_undeclared(name, declared):
        # Nothing says whether it holds a text or tags; a value is one of them at most.
        tags = find(name, declared, "tags")
        return or_(_asked(field, asking, value), _asked(tags, asking, value))
    return _asked(field, asking, value)


def _is_undeclared(name: str, declared: Mapping[str, str]) -> bool:
    return name not in COLUMNS and name.removeprefix(METADATA) not in declared


def _inferred(value: object) -> str:
    """The type of an undeclared field that is compared with `value`."""
    one = value[0] if isinstance(value, list) and value else value
    if isinstance(one, bool):
        return "boolean"
    return "number" if isinstance(one, (int, float)) else "text"


def _check_operator(field: Field, asking: str) -> None:
    known = OPERATORS[field.kind]
    if asking not in known:
        raise FilterRejected(
            f"a field of the type {field.kind} has no operator {shown(asking)}; "
            f"it has {', '.join(known)}."
        )


def _asked(field: Field, asking: str, value: object) -> ColumnElement[bool]:
    if asking == "exists":
        return field.key.is_not(None) if _boolean(value) else field.key.is_(None)
    if asking == "in":
        return _among(field, _values(field, value))
    one = VALUES[field.kind](value)
    if asking == "contains":
        return _contains(field, one)
    if asking == "prefix":
        return _begins(field, one)
    if asking == "ne":
        return compare(field, "eq", one).is_not(true())
    return compare(field, asking, one)


def _values(field: Field, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise FilterRejected(f"{shown(value)} is no list of values.")
    if len(value) > MAX_VALUES:
        raise FilterRejected(f"{len(value):,} values; {MAX_VALUES:,} are allowed.")
    return [VALUES[field.kind](one) for one in value]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FilterRejected(f"{shown(value)} is no text.")
    if len(value) > MAX_CHARACTERS:
        raise FilterRejected(f"a text of more than {MAX_CHARACTERS:,} characters.")
    if UNSTORABLE.search(value):
        raise FilterRejected(f"{shown(value)} has a NUL or half of a surrogate pair.")
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FilterRejected(f"{shown(value)} is no number.")
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterRejected(f"{shown(value)} is no finite number.")
    number = Decimal(value if isinstance(value, int) else repr(value))  # 0.1 is meant as 0.1
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise FilterRejected("a number beyond 10 to the power of 300.")
    return number


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise FilterRejected(f"{shown(value)} is neither true nor false.")
    return value


def _date(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise FilterRejected(
            f"{shown(value)} is no date of the years 1 to 9999 in ISO 8601, "
            "such as 2024-05-31 or 2024-05-31T12:00:00Z."
        ) from error


VALUES: Mapping[str, Callable[[object], Any]] = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "tags": _text,
}
"""How a JSON value becomes what a field of a type is compared with."""


def _among(field: Field, values: list[Any]) -> ColumnElement[bool]:
    """One array however many values: Postgres takes 65,535 parameters at most."""
    if field.kind == "tags":
        lists = literal([[one] for one in values], ARRAY(JSONB(), dimensions=1))
        return field.value.bool_op("@>")(any_(lists))
    if field.key is field.value:
        return _is_any(field, field.key, values)
    keys = _is_any(field, field.key, [one[:CUT] for one in values])
    if all(len(one) < CUT for one in values):
        return keys
    return and_(keys, _is_any(field, field.value, values))


def _is_any(field: Field, expression: ColumnElement[Any], values: list[Any]) -> ColumnElement[bool]:
    return expression == any_(bound_list(field, values))


def _contains(field: Field, value: str) -> ColumnElement[bool]:
    if field.kind == "tags":
        return field.value.bool_op("@>")(literal([value], JSONB()))
    # The collation C has letters of ASCII only, and a path's is C.
    whole = func.lower(field.value.collate("default"))
    return func.strpos(whole, func.lower(bound(field, value).collate("default"))) > 0


def _begins(field: Field, value: str) -> ColumnElement[bool]:
    begins = field.key.bool_op("^@")(bound(field, value[:CUT]))
    if field.key is field.value:
        return field.value.bool_op("^@")(bound(field, value))
    return and_(begins, field.value.bool_op("^@")(bound(field, value))) if value[CUT:] else begins
