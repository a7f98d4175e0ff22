"""Answers without a query: pictures that pass a filter, in an order; how many; of which values.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.catalog.fields import (
    CUT,
    MAX_BIGINT,
    UNSTORABLE,
    Field,
    bound,
    declared_field,
    find,
    shown,
)
from app.catalog.filters import Filter
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.errors import CursorRejected, FilterRejected

MAX_FACET_VALUES = 100

Key = str | int | float | bool | None
"""A value of a field as JSON has it; a moment is ISO 8601 in UTC."""

Position = tuple[Key, int]
"""Where a picture lies in an order: its key there, and its id."""


@dataclass(frozen=True, eq=False)
class Order:
    """By a field, pictures that lack it last; then by id. Long texts by their first CUT characters.

    Paths are sorted by all of theirs.
    """

    field: Field
    descending: bool = False

    @property
    def by(self) -> ColumnElement[Any]:
        """The first thing to sort by."""
        return self.field.key.desc() if self.descending else self.field.key.asc()


@dataclass(frozen=True)
class Listed:
    """A picture in an order; the page after it begins after its `position`."""

    image: Image
    key: Key

    @property
    def position(self) -> Position:
        """As JSON can hold it, and `browse` take it."""
        return self.key, self.image.id


def parse_order(text: str, declared: Mapping[str, str]) -> Order:
    """The order that `width` or, descending, `-width` names.

    An undeclared key of the metadata sorts as text. Raises FilterRejected.
    """
    try:
        field = find(text.removeprefix("-"), declared)
    except FilterRejected as error:
        raise FilterRejected(f"order_by: {error}") from error
    if field.kind == "tags":
        raise FilterRejected(f"order_by: {shown(field.name)} holds tags, which have no order.")
    return Order(field, text.startswith("-"))


def browse(
    session: Session,
    collection_id: int,
    where: Filter,
    order: Order,
    after: Position | None,
    limit: int,
) -> list[Listed]:
    """The first `limit` pictures that pass, from the start or after a position.

    Raises CursorRejected where `after` is no position in this order.
    """
    if after is not None:
        _check_position(order.field, after)
    passing = _passing(collection_id, where)
    if after is None or after[0] is not None:
        found = _listed(session, _with_key(passing, order, after).limit(limit))
        after = None
    else:
        found = []
    if len(found) == limit or not order.field.nullable:
        return found
    rest = _without_key(passing, order, after).limit(limit - len(found))
    return found + _listed(session, rest)


def _passing(collection_id: int, where: Filter) -> ColumnElement[bool]:
    return and_(images.c.collection_id == collection_id, PRESENT, where.condition)


def _with_key(
    passing: ColumnElement[bool], order: Order, after: Position | None
) -> Select[tuple[Any, ...]]:
    """Pictures that have the field.

    Those without have a statement of their own: an index serves NULLS LAST one way only.
    """
    key = order.field.key
    query = select(*IMAGE_COLUMNS, _read(order.field, key).label("key")).where(passing)
    if order.field.nullable:
        query = query.where(key.is_not(None))
    if after is not None:
        value = bound(order.field, RESTORED[order.field.kind](after[0]))
        at_least, beyond = (
            (key <= value, key < value) if order.descending else (key >= value, key > value)
        )
        query = query.where(at_least, or_(beyond, images.c.id > after[1]))
    return query.order_by(order.by, images.c.id)


def _without_key(
    passing: ColumnElement[bool], order: Order, after: Position | None
) -> Select[tuple[Any, ...]]:
    query = select(*IMAGE_COLUMNS, literal_column("NULL").label("key"))
    query = query.where(passing, order.field.key.is_(None))
    if after is not None:
        query = query.where(images.c.id > after[1])
    return query.order_by(images.c.id)


def _listed(session: Session, query: Select[tuple[Any, ...]]) -> list[Listed]:
    rows = session.execute(query).mappings()
    return [Listed(Image.of(row), _exact(row["key"])) for row in rows]


def _read(field: Field, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """What is read: moments in UTC, so that no time zone moves them out of Python's years."""
    return func.timezone(literal_column("'UTC'"), value) if field.kind == "date" else value


def _exact(value: Any) -> Key:
    """A value that was read, as JSON that nothing of it is lost in."""
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='microseconds')}Z"
    return str(value) if isinstance(value, Decimal) else value


def _check_position(field: Field, after: Position) -> None:
    key, image_id = after
    try:
        if key is not None:
            RESTORED[field.kind](key)
        fits = 0 <= int(image_id) <= MAX_BIGINT
    except (TypeError, ValueError, ArithmeticError):
        fits = False
    if not fits:
        raise CursorRejected("The cursor is no position in this order.")


def _restored_text(key: Key) -> str:
    if not isinstance(key, str) or UNSTORABLE.search(key):
        raise ValueError(key)
    return key


def _restored_number(key: Key) -> Decimal:
    number = Decimal(str(key))
    if not number.is_finite():
        raise ValueError(key)
    return number


def _restored_boolean(key: Key) -> bool:
    if not isinstance(key, bool):
        raise TypeError(key)
    return key


def _restored_date(key: Key) -> datetime:
    return datetime.fromisoformat(_restored_text(key)).astimezone(UTC)


RESTORED: Mapping[str, Callable[[Key], Any]] = {
    "text": _restored_text,
    "number": _restored_number,
    "boolean": _restored_boolean,
    "date": _restored_date,
}
"""From a key as JSON has it to the value that was read."""


def count(session: Session, collection_id: int, where: Filter) -> int:
    """How many pictures of the collection pass."""
    query = select(func.count()).select_from(images).where(_passing(collection_id, where))
    return session.execute(query).scalar_one()


def facets(
    session: Session,
    collection_id: int,
    where: Filter,
    name: str,
    declared: Mapping[str, str],
    limit: int,
) -> list[tuple[Key, int]]:
    """The `limit` most frequent values of a declared field, and how many pictures have each.

    Values that are equally frequent come by value. Texts count by their first CUT characters,
    tags one by one; null is no value. Raises FilterRejected.
    """
    if name not in declared:
        known = f"there are {', '.join(declared)}" if declared else "the collection has none"
        raise FilterRejected(f"facets: {shown(name)} is no declared field; {known}.")
    if not 1 <= limit <= MAX_FACET_VALUES:
        raise FilterRejected(f"facets: {limit} values; 1 to {MAX_FACET_VALUES} are allowed.")
    field = declared_field(name, declared[name])
    query = _tags(field) if field.kind == "tags" else _values(field)
    query = query.where(_passing(collection_id, where)).group_by(query.selected_columns.value)
    number = query.selected_columns.pictures
    query = query.order_by(number.desc(), query.selected_columns.value).limit(limit)
    return [(_simple(value), pictures) for value, pictures in session.execute(query)]


def _values(field: Field) -> Select[tuple[Any, int]]:
    value = _read(field, field.key).label("value")
    return select(value, func.count().label("pictures")).where(field.key.is_not(None))


def _tags(field: Field) -> Select[tuple[Any, int]]:
    """A picture counts once for a tag that it has twice."""
    elements = func.jsonb_array_elements(field.key).table_valued(column("value", JSONB()))
    element = elements.render_derived(name="element")
    text = element.c.value.op("#>>", return_type=Text())(literal_column("'{}'"))
    value = func.left(text, CUT, type_=Text()).collate("C").label("value")
    pictures = func.count(images.c.id.distinct()).label("pictures")
    query = select(value, pictures).join_from(images, element, true())
    return query.where(func.jsonb_typeof(element.c.value) == "string")


def _simple(value: Any) -> Key:
    """A value that was read, as a filter takes it: a number as JSON's, the nearest double."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return _exact(value)


def ordered(session: Session, ids: Sequence[int], order: Order) -> list[int]:
    """These ids in this order; ties and pictures that lack the field stay as they were given."""
    given = func.unnest(literal(list(ids), ARRAY(BigInteger())))
    listed = given.table_valued("id", with_ordinality="place").render_derived(name="given")
    query = select(listed.c.id).outerjoin_from(listed, images, images.c.id == listed.c.id)
    query = query.order_by(order.by.nulls_last(), listed.c.place)
    return list(session.execute(query).scalars())
