"""Conditions on `images`, each from one clause of a filter: a field, an operator and a value.

Whatever is wrong raises FilterRejected. Values reach SQL as bind parameters only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, and_, any_, func, literal, or_, true
from sqlalchemy.dialects.postgresql import JSONB

from app.catalog.filters import positions
from app.catalog.filters.field_expressions import ANYTHING, INDEXED_CHARACTERS
from app.catalog.filters.field_names import COLUMNS, METADATA, POSITION, display
from app.catalog.filters.fields import Field, bind, bind_list, compare, find_field, wall_clock
from app.catalog.filters.filter_values import VALUE_PARSERS, has_time_zone, letter_forms
from app.catalog.filters.label_fields import has_any, label_set_of, probability_field
from app.catalog.filters.unknown_names import check_label
from app.database.tables import LABELS, Declared, LabelNames
from app.errors import FilterRejected
from app.index.categories.category_rows import SetLabel

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


def condition_of(
    name: str, operator: str, value: object, declared: Declared
) -> ColumnElement[bool]:
    """What a clause says, such as `width`, `gte` and 800. Raises FilterRejected."""
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


def demanded_label(name: str, operator: str, value: object, declared: Declared) -> SetLabel | None:
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
