"""Listings and facets: pictures that pass a filter, in an order; their number; values of fields.

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
    cast,
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

from app.catalog.filters.field_expressions import INDEXED_CHARACTERS
from app.catalog.filters.field_names import UNSTORABLE, display
from app.catalog.filters.fields import MAX_BIGINT, Field, bind, facet_field, find_field
from app.catalog.filters.filters import Filter
from app.catalog.filters.label_fields import label_set_of, label_values, probability_field
from app.database.tables import IMAGE_COLUMNS, PRESENT, Declared, Image, images
from app.errors import CursorRejected, FilterRejected

MAX_FACET_VALUES = 5_000

Key = str | int | float | bool | None
"""A field's value as JSON; dates are ISO 8601 in UTC."""

Position = tuple[Key, int]
"""The position of a picture in an order: its key and its id."""


@dataclass(frozen=True, eq=False)
class Order:
    """By a field, then by id; pictures without the field come last.

    Long texts sort by their first INDEXED_CHARACTERS characters; paths by all of theirs.
    """

    field: Field
    descending: bool = False

    @property
    def sort_expression(self) -> ColumnElement[Any]:
        """The primary sort expression."""
        return self.field.key.desc() if self.descending else self.field.key.asc()


@dataclass(frozen=True)
class ListedImage:
    """A picture in a listing; the next page starts after its `position`."""

    image: Image
    key: Key

    @property
    def position(self) -> Position:
        """As JSON, and as `browse` accepts it."""
        return self.key, self.image.id


def parse_order(text: str, declared: Declared) -> Order:
    """Parse `width`, or `-width` for descending.

    Undeclared metadata keys sort as text. Raises FilterRejected.
    """
    name = text.removeprefix("-")
    if label_set_of(name, declared) is not None:
        raise FilterRejected(
            f"order_by: {name} holds labels, which have no order: order by the probability of one, "
            f"as in -{name}.dog."
        )
    try:
        field = probability_field(name, declared) or find_field(name, declared)
    except FilterRejected as error:
        raise FilterRejected(f"order_by: {error}") from error
    if field.kind == "tags":
        raise FilterRejected(f"order_by: {display(field.name)} holds tags, which have no order.")
    return Order(field, text.startswith("-"))


def browse(
    session: Session,
    collection_id: int,
    where: Filter,
    order: Order,
    after: Position | None,
    limit: int,
) -> list[ListedImage]:
    """The first `limit` pictures that pass, from the start or after a position.

    Raises CursorRejected if `after` is not a position in this order.
    """
    if after is not None:
        _check_position(order.field, after)
    passing = _passing(collection_id, where)
    if after is None or after[0] is not None:
        found = _read_listed(session, _with_key(passing, order, after).limit(limit))
        after = None
    else:
        found = []
    if len(found) == limit or not order.field.nullable:
        return found
    rest = _without_key(passing, order, after).limit(limit - len(found))
    return found + _read_listed(session, rest)


def _passing(collection_id: int, where: Filter) -> ColumnElement[bool]:
    return and_(images.c.collection_id == collection_id, PRESENT, where.condition)


def _with_key(
    passing: ColumnElement[bool], order: Order, after: Position | None
) -> Select[tuple[Any, ...]]:
    """Pictures that have the field.

    Those without take a second statement, since an index serves NULLS LAST in one direction only.
    """
    key = order.field.key
    query = select(*IMAGE_COLUMNS, _selected(order.field, key).label("key")).where(passing)
    if order.field.nullable:
        query = query.where(key.is_not(None))
    if after is not None:
        value = bind(order.field, KEY_PARSERS[order.field.kind](after[0]))
        at_least, beyond = (
            (key <= value, key < value) if order.descending else (key >= value, key > value)
        )
        query = query.where(at_least, or_(beyond, images.c.id > after[1]))
    return query.order_by(order.sort_expression, images.c.id)


def _without_key(
    passing: ColumnElement[bool], order: Order, after: Position | None
) -> Select[tuple[Any, ...]]:
    query = select(*IMAGE_COLUMNS, literal_column("NULL").label("key"))
    query = query.where(passing, order.field.key.is_(None))
    if after is not None:
        query = query.where(images.c.id > after[1])
    return query.order_by(images.c.id)


def _read_listed(session: Session, query: Select[tuple[Any, ...]]) -> list[ListedImage]:
    rows = session.execute(query).mappings()
    return [ListedImage(Image.of(row), _to_json(row["key"])) for row in rows]


def _selected(field: Field, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Dates are read in UTC: in other time zones some are outside Python's range of years."""
    return func.timezone(literal_column("'UTC'"), value) if field.kind == "date" else value


def _to_json(value: Any) -> Key:
    """A value as JSON, without loss of precision."""
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='microseconds')}Z"
    return str(value) if isinstance(value, Decimal) else value


def _check_position(field: Field, after: Position) -> None:
    key, image_id = after
    try:
        if key is not None:
            KEY_PARSERS[field.kind](key)
        fits = 0 <= int(image_id) <= MAX_BIGINT
    except (TypeError, ValueError, ArithmeticError):
        fits = False
    if not fits:
        raise CursorRejected("The cursor does not belong to this order.")


def _parse_text(key: Key) -> str:
    if not isinstance(key, str) or UNSTORABLE.search(key):
        raise ValueError(key)
    return key


def _parse_number(key: Key) -> Decimal:
    number = Decimal(str(key))
    if not number.is_finite():
        raise ValueError(key)
    return number


def _parse_boolean(key: Key) -> bool:
    if not isinstance(key, bool):
        raise TypeError(key)
    return key


def _parse_date(key: Key) -> datetime:
    return datetime.fromisoformat(_parse_text(key)).astimezone(UTC)


KEY_PARSERS: Mapping[str, Callable[[Key], Any]] = {
    "text": _parse_text,
    "number": _parse_number,
    "boolean": _parse_boolean,
    "date": _parse_date,
}
"""Parses a key from JSON, by type of field."""


def count(session: Session, collection_id: int, where: Filter) -> int:
    """The number of pictures of the collection that pass."""
    query = select(func.count()).select_from(images).where(_passing(collection_id, where))
    return session.execute(query).scalar_one()


def facets(
    session: Session,
    collection_id: int,
    where: Filter,
    name: str,
    declared: Declared,
    limit: int,
    containing: str = "",
) -> list[tuple[Key, int]]:
    """The `limit` most frequent values of a declared field, with the number of pictures for each.

    Only values `containing` that text in any case. Ties are ordered by value. Texts are counted by
    their first INDEXED_CHARACTERS characters, tags individually; null is not a value. Raises
    FilterRejected.
    """
    if not 1 <= limit <= MAX_FACET_VALUES:
        raise FilterRejected(f"facets: {limit} values; 1 to {MAX_FACET_VALUES} are allowed.")
    query = _values(name, declared)
    value = query.selected_columns.value
    query = query.where(_passing(collection_id, where)).group_by(value)
    if containing:
        folded = func.lower(cast(value, Text()).collate("default"))  # C folds ASCII alone
        wanted = func.lower(literal(containing, Text()).collate("default"))
        query = query.where(func.strpos(folded, wanted) > 0)
    number = query.selected_columns.pictures
    query = query.order_by(number.desc(), value).limit(limit)
    return [(_facet_value(value), pictures) for value, pictures in session.execute(query)]


def _values(name: str, declared: Declared) -> Select[tuple[Any, int]]:
    """The values of a field, each with the number of its pictures. Raises FilterRejected."""
    if (label_set := label_set_of(name, declared)) is not None:
        return label_values(label_set["id"])
    field = facet_field(name, declared)
    return _tag_values(field) if field.kind == "tags" else _scalar_values(field)


def _scalar_values(field: Field) -> Select[tuple[Any, int]]:
    value = _selected(field, field.key).label("value")
    return select(value, func.count().label("pictures")).where(field.key.is_not(None))


def _tag_values(field: Field) -> Select[tuple[Any, int]]:
    """A picture counts once for a tag that it has twice."""
    elements = func.jsonb_array_elements(field.key).table_valued(column("value", JSONB()))
    element = elements.render_derived(name="element")
    text = element.c.value.op("#>>", return_type=Text())(literal_column("'{}'"))
    value = func.left(text, INDEXED_CHARACTERS, type_=Text()).collate("C").label("value")
    pictures = func.count(images.c.id.distinct()).label("pictures")
    query = select(value, pictures).join_from(images, element, true())
    return query.where(func.jsonb_typeof(element.c.value) == "string")


def _facet_value(value: Any) -> Key:
    """A value as filters accept it: numbers as the nearest double."""
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else float(value)
    return _to_json(value)


def sort_ids(session: Session, ids: Sequence[int], order: Order) -> list[int]:
    """Sort ids by an order; ties and pictures without the field keep their relative order."""
    given = func.unnest(literal(list(ids), ARRAY(BigInteger())))
    listed = given.table_valued("id", with_ordinality="place").render_derived(name="given")
    query = select(listed.c.id).outerjoin_from(listed, images, images.c.id == listed.c.id)
    query = query.order_by(order.sort_expression.nulls_last(), listed.c.place)
    return list(session.execute(query).scalars())
