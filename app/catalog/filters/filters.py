"""Filters: a JSON object becomes a condition on `images`.

`{"width": {"gte": 800}, "format": "PNG"}`: all must hold, and a bare value means `eq`. The keys
`and` and `or` take lists of filters, `not` takes one. `ne` is true of pictures that lack the
field, and `not` of exactly those that its filter is not true of. Whatever is wrong raises
FilterRejected, which names the path. Values reach SQL as bind parameters only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, and_, any_, false, func, literal, or_, true
from sqlalchemy.dialects.postgresql import JSONB

from app.catalog.filters import positions
from app.catalog.filters.field_expressions import ANYTHING, INDEXED_CHARACTERS
from app.catalog.filters.field_names import COLUMNS, METADATA, POSITION, display
from app.catalog.filters.fields import Field, bind, bind_list, compare, find_field, wall_clock
from app.catalog.filters.filter_values import VALUE_PARSERS, has_time_zone, letter_forms
from app.catalog.filters.label_fields import (
    has_any,
    label_set_of,
    probability_field,
)
from app.catalog.filters.unknown_names import check_label
from app.database.tables import LABELS, Declared, LabelNames
from app.errors import FilterRejected
from app.index.categories.category_rows import SetLabel, Within

MAX_DEPTH = 8  # nested and, or, not
MAX_CLAUSES = 100  # conditions in total; an empty filter counts as one
MAX_VALUES = 1_000  # in one `in`

COMPARISONS = ("eq", "ne", "in", "lt", "lte", "gt", "gte", "exists")
OPERATORS: Mapping[str, Sequence[str]] = {
    "text": (*COMPARISONS, "contains", "prefix"),
    "number": COMPARISONS,
    "boolean": ("eq", "ne", "in", "exists"),
    "date": COMPARISONS,
    "tags": ("contains", "in", "exists"),
    LABELS: ("eq", "ne", "in", "contains", "exists"),
    ANYTHING: ("exists",),
}
"""The operators of each type of field."""


@dataclass(frozen=True, eq=False)
class Filter:
    """A condition on `images`, which does not check collection and tombstones.

    `condition` is for WHERE and can use indexes; it may be null instead of false. `clauses` are
    its conjuncts with their JSON paths, and are never null. `labels` are those that every picture
    which passes must have.
    """

    condition: ColumnElement[bool]
    clauses: Sequence[tuple[str, ColumnElement[bool]]]
    labels: Sequence[SetLabel] = ()

    @property
    def within(self) -> Within | None:
        """The labels, for a search that may have graphs of them; None without any."""
        if not self.labels:
            return None
        return Within(tuple(self.labels), is_all=len(self.clauses) == len(self.labels) == 1)


def parse(body: object, declared: Declared) -> Filter:
    """Parse a JSON filter; `declared` are the collection's fields.

    `{}` passes everything. Raises FilterRejected.
    """
    parser = _Parser(declared)
    found = list(parser.conjuncts(body, "filter", 0))
    clauses = [(path, condition.is_(true())) for path, condition in found]
    return Filter(_all(condition for _, condition in found), clauses, parser.labels)


Conjuncts = Iterator[tuple[str, ColumnElement[bool]]]
"""JSON paths and their conditions, all of which must hold."""


class _Parser:
    """Walks a filter, counts its clauses and collects the labels that all of it demands."""

    def __init__(self, declared: Declared) -> None:
        self.labels: list[SetLabel] = []
        self._declared = declared
        self._clauses = 0
        self._alternatives = 0  # lists of `or` and filters of `not` around this place

    def conjuncts(self, body: object, path: str, depth: int) -> Conjuncts:
        if not isinstance(body, dict):
            raise FilterRejected(f"{path}: {display(body)} is not a filter: send an object.")
        if depth > MAX_DEPTH:
            raise FilterRejected(f"{path}: filters are nested more than {MAX_DEPTH} deep.")
        if not body:
            self._count_clause(path)
        for name, inner in body.items():
            inner_path = f"{path}.{display_name(name)}"
            yield from COMBINATORS.get(name, _Parser.field)(self, name, inner, inner_path, depth)

    def field(self, name: str, inner: object, path: str, _depth: int) -> Conjuncts:
        operators = inner if isinstance(inner, dict) else {"eq": inner}
        if not operators:
            raise FilterRejected(f'{path}: an operator is needed, as in {{"eq": …}}.')
        for operator, value in operators.items():
            inner_path = f"{path}.{display_name(operator)}" if operators is inner else path
            self._count_clause(inner_path)
            try:
                condition = _condition(name, operator, value, self._declared)
            except FilterRejected as error:
                raise FilterRejected(f"{inner_path}: {error}") from error
            if not self._alternatives and (
                label := _demanded(name, operator, value, self._declared)
            ):
                self.labels.append(label)
            yield inner_path, condition

    def all_of(self, _name: str, inner: object, path: str, depth: int) -> Conjuncts:
        for inner_path, one in self._items(inner, path):
            yield from self.conjuncts(one, inner_path, depth + 1)

    def any_of(self, _name: str, inner: object, path: str, depth: int) -> Conjuncts:
        items = self._items(inner, path)
        yield (
            path,
            or_(
                false(),
                *(self._conjunction(one, inner_path, depth + 1) for inner_path, one in items),
            ),
        )

    def none_of(self, _name: str, inner: object, path: str, depth: int) -> Conjuncts:
        yield path, self._conjunction(inner, path, depth + 1).is_not(true())

    def _conjunction(self, body: object, path: str, depth: int) -> ColumnElement[bool]:
        self._alternatives += 1
        found = _all([condition for _, condition in self.conjuncts(body, path, depth)])
        self._alternatives -= 1
        return found

    def _items(self, inner: object, path: str) -> Iterator[tuple[str, object]]:
        if not isinstance(inner, list):
            raise FilterRejected(f"{path}: {display(inner)} is not a list of filters.")
        if not inner:
            self._count_clause(path)
        for number, one in enumerate(inner):
            yield f"{path}[{number}]", one

    def _count_clause(self, path: str) -> None:
        self._clauses += 1
        if self._clauses > MAX_CLAUSES:
            raise FilterRejected(f"{path}: the filter has more than {MAX_CLAUSES} clauses.")


COMBINATORS: Mapping[str, Callable[[_Parser, str, object, str, int], Conjuncts]] = {
    "and": _Parser.all_of,
    "or": _Parser.any_of,
    "not": _Parser.none_of,
}


def display_name(name: object) -> str:
    """A name as part of a JSON path: without quotes."""
    return display(name).removeprefix('"').removesuffix('"')


def _all(found: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
    return and_(true(), *found)


def _condition(name: str, operator: str, value: object, declared: Declared) -> ColumnElement[bool]:
    if name == POSITION and name not in declared:
        return positions.condition(operator, value)
    if (label_set := label_set_of(name, declared)) is not None:
        return _label_condition(label_set, operator, value)
    kind = ANYTHING if operator == "exists" else _infer_type(value)
    field = probability_field(name, declared) or find_field(name, declared, kind)
    _check_operator(field.kind, operator)
    if operator == "contains" and _is_undeclared(name, declared):
        # The type is unknown: it may be a text or tags, but not both.
        tags = find_field(name, declared, "tags")
        return or_(_compare(field, operator, value), _compare(tags, operator, value))
    if name == "taken_at" and operator != "exists":
        return _compare_taken_at(field, operator, value)
    return _compare(field, operator, value)


def _label_condition(label_set: LabelNames, operator: str, value: object) -> ColumnElement[bool]:
    """On the labels of a set: eq and contains are the same, since a picture may have several."""
    _check_operator(LABELS, operator)
    set_id = label_set["id"]
    if operator == "exists":
        has_label = has_any(set_id)
        return has_label if VALUE_PARSERS["boolean"](value) else ~has_label
    labels = [VALUE_PARSERS["text"](one) for one in (_list(value) if operator == "in" else [value])]
    for label in labels:
        check_label(label, label_set)
    has_label = has_any(set_id, labels)
    return ~has_label if operator == "ne" else has_label


def _demanded(name: str, operator: str, value: object, declared: Declared) -> SetLabel | None:
    """The label that a picture must have, if that is what a clause says."""
    label_set = label_set_of(name, declared)
    if operator == "in" and isinstance(value, list) and len(value) == 1:
        operator, value = "eq", value[0]
    if label_set is None or operator not in {"eq", "contains"}:
        return None
    return SetLabel(label_set["id"], VALUE_PARSERS["text"](value))


def _is_undeclared(name: str, declared: Declared) -> bool:
    return name not in COLUMNS and name.removeprefix(METADATA) not in declared


def _infer_type(value: object) -> str:
    """The type of an undeclared field, given the value it is compared with."""
    one = value[0] if isinstance(value, list) and value else value
    if isinstance(one, bool):
        return "boolean"
    return "number" if isinstance(one, (int, float)) else "text"


def _check_operator(kind: str, operator: str) -> None:
    known = OPERATORS[kind]
    if operator not in known:
        raise FilterRejected(
            f"a field of the type {kind} has no operator {display(operator)}; "
            f"it has {', '.join(known)}."
        )


def _compare(field: Field, operator: str, value: object) -> ColumnElement[bool]:
    if operator == "exists":
        return field.key.is_not(None) if VALUE_PARSERS["boolean"](value) else field.key.is_(None)
    if operator == "in":
        return _is_in(field, _values(field, value))
    one = VALUE_PARSERS[field.kind](value)
    if operator == "ne":
        return _matches(field, "eq", one).is_not(true())
    return _matches(field, operator, one)


def _compare_taken_at(instant: Field, operator: str, value: object) -> ColumnElement[bool]:
    """A date without a time zone, such as a day, is compared with the clock of the place."""
    if operator != "in":
        return _compare(instant if has_time_zone(value) else wall_clock(), operator, value)
    dates = _list(value)
    zoned, local = ([one for one in dates if has_time_zone(one) is has] for has in (True, False))
    return or_(_compare(instant, operator, zoned), _compare(wall_clock(), operator, local))


LETTERWISE = {"contains", "prefix", "eq"}


def _matches(field: Field, operator: str, value: Any) -> ColumnElement[bool]:
    """Whether the field compares so with the value, in whichever form its letters are written."""
    if operator not in LETTERWISE or not isinstance(value, str):
        return compare(field, operator, value)
    how = {"contains": _contains, "prefix": _starts_with}.get(operator, _equals)
    return or_(*(how(field, form) for form in letter_forms(value)))


def _equals(field: Field, value: str) -> ColumnElement[bool]:
    return compare(field, "eq", value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise FilterRejected(f"{display(value)} is not a list of values.")
    if len(value) > MAX_VALUES:
        raise FilterRejected(f"{len(value):,} values; {MAX_VALUES:,} are allowed.")
    return value


def _values(field: Field, value: object) -> list[Any]:
    parsed = [VALUE_PARSERS[field.kind](one) for one in _list(value)]
    if field.kind not in {"text", "tags"}:
        return parsed
    return [form for one in parsed for form in letter_forms(one)]


def _is_in(field: Field, values: list[Any]) -> ColumnElement[bool]:
    """Binds one array, since Postgres accepts at most 65,535 parameters."""
    if field.kind == "tags":
        lists = literal([[one] for one in values], ARRAY(JSONB(), dimensions=1))
        return field.value.bool_op("@>")(any_(lists))
    if field.key is field.value:
        return _is_any(field, field.key, values)
    keys = _is_any(field, field.key, [one[:INDEXED_CHARACTERS] for one in values])
    if all(len(one) < INDEXED_CHARACTERS for one in values):
        return keys
    return and_(keys, _is_any(field, field.value, values))


def _is_any(field: Field, expression: ColumnElement[Any], values: list[Any]) -> ColumnElement[bool]:
    return expression == any_(bind_list(field, values))


def _contains(field: Field, value: str) -> ColumnElement[bool]:
    if field.kind == "tags":
        return field.value.bool_op("@>")(literal([value], JSONB()))
    # In the collation C, which paths have, lower() changes ASCII letters only.
    whole = func.lower(field.value.collate("default"))
    return func.strpos(whole, func.lower(bind(field, value).collate("default"))) > 0


def _starts_with(field: Field, value: str) -> ColumnElement[bool]:
    begins = field.key.bool_op("^@")(bind(field, value[:INDEXED_CHARACTERS]))
    if field.key is field.value:
        return field.value.bool_op("^@")(bind(field, value))
    return (
        and_(begins, field.value.bool_op("^@")(bind(field, value)))
        if value[INDEXED_CHARACTERS:]
        else begins
    )
