"""Pictures in an order, page by page; their number; the values they have."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog.filters.field_names import COLUMNS
from app.catalog.filters.filters import Filter, parse
from app.catalog.images.image_listing import (
    MAX_FACET_VALUES,
    Key,
    ListedImage,
    Position,
    browse,
    count,
    facets,
    parse_order,
    sort_ids,
)
from app.database import connections, migrating
from app.database.tables import images
from app.errors import CursorRejected, FilterRejected

DECLARED = {"place": "text", "stars": "number", "sold": "boolean", "day": "date", "tags": "tags"}
COUNT = 200
ALL = parse({}, {})

PLACES = ("Lisbon", "lisbon", "Łódź", "", "x" * 300 + "a", "x" * 300 + "b", "'; --", None, 7)
STARS = (1, 2, 2.5, -1, 0, 10**40, Decimal("0.1"), None, "three", True)
DAYS = ("2024-02-29", "2024-02-29T12:00:00.000001Z", "9999-12-31", "0001-01-01", None, "soon", 3)
TAGS: tuple[Any, ...] = ([], ["a", "b"], ["a", "a"], ["b", 3, None, "y" * 250], None, "a", {"a": 1})


@dataclass(frozen=True, repr=False)
class Shelf:
    """A collection of COUNT pictures; two of them have tombstones, and another is beside it."""

    session: Session
    collection_id: int

    def browsed(
        self, order: str, after: Position | None = None, limit: int = COUNT
    ) -> list[ListedImage]:
        return self.passing(ALL, order, after, limit)

    def passing(
        self, where: Filter, order: str, after: Position | None, limit: int
    ) -> list[ListedImage]:
        parsed = parse_order(order, DECLARED)
        return browse(self.session, self.collection_id, where, parsed, after, limit)

    def facets(self, name: str, limit: int = MAX_FACET_VALUES) -> list[tuple[Key, int]]:
        return facets(self.session, self.collection_id, ALL, name, DECLARED, limit)


@pytest.fixture(scope="module")
def shelf(database_url: str) -> Iterator[Shelf]:
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    with connections.open_sessions(engine)() as session:
        make = "INSERT INTO collections (namespace, name) VALUES ('test', :name) RETURNING id"
        shelf_id, other_id = (
            session.execute(text(make), {"name": name}).scalar_one() for name in ("shelf", "other")
        )
        rows = pictures(shelf_id, other_id)
        session.execute(images.insert(), rows)
        bury = "UPDATE images SET removed_at = now() WHERE path IN ('7.png', '8.png')"
        session.execute(text(bury))
        yield Shelf(session, shelf_id)
        session.rollback()
    engine.dispose()


def pictures(shelf_id: int, other_id: int) -> list[dict[str, Any]]:
    chance = random.Random(5)
    return [
        {
            "collection_id": other_id if number % 9 == 0 else shelf_id,
            "bytes": number % 5,
            "path": f"{number}.png",
            "etag": "",
            "width": number % 3 + 1,
            "height": 2**31 - 1,
            "content_hash": hashlib.sha256(bytes([number])).digest(),
            "format": "PNG",
            "caption": chance.choice(("a", "B", None)),
            "origin": f"{number % 11}",
            "taken_at": chance.choice((None, datetime(2024, 1, number % 28 + 1, tzinfo=UTC))),
            "metadata": json.loads(
                json.dumps(
                    {
                        "place": chance.choice(PLACES),
                        "day": chance.choice(DAYS),
                        "stars": chance.choice(STARS),
                        "tags": chance.choice(TAGS),
                        "sold": chance.choice((True, False, None, "yes")),
                        "a'b": f"{number}",
                    },
                    default=float,
                )
            ),
        }
        for number in range(COUNT)
    ]


ORDERS = (*COLUMNS, "place", "stars", "sold", "day", "metadata.a'b", "metadata.none")


@pytest.mark.parametrize("order", [*ORDERS, *(f"-{order}" for order in ORDERS)])
@pytest.mark.parametrize("size", [1, 7])
def test_pages_show_each_picture_once_in_order(shelf: Shelf, order: str, size: int) -> None:
    whole = shelf.browsed(order)
    assert len(whole) == count(shelf.session, shelf.collection_id, ALL)
    pages: list[ListedImage] = []
    after: Position | None = None
    while page := shelf.browsed(order, after, size):
        pages += page
        assert len(pages) <= len(whole), "a picture came twice"
        after = json.loads(json.dumps(page[-1].position))
    assert [one.image.id for one in pages] == [one.image.id for one in whole]
    assert len({one.image.id for one in whole}) == len(whole)
    check_sorted(whole, order)


def check_sorted(listed: list[ListedImage], order: str) -> None:
    """Keys rise or fall, null last; ids rise where keys are equal."""
    numeric = COLUMNS.get(order.strip("-")) == "number" or order.strip("-") == "stars"
    having = [one for one in listed if one.key is not None]
    assert having == listed[: len(having)]
    keys: list[Any] = [Decimal(str(one.key)) if numeric else one.key for one in having]
    assert keys == sorted(keys, reverse=order.startswith("-"))
    pairs = [(str(one.key), one.image.id) for one in listed]
    for (key, image_id), (next_key, next_id) in pairwise(pairs):
        assert key != next_key or image_id < next_id


def test_keys_are_json_that_nothing_is_lost_in(shelf: Shelf) -> None:
    def keys(order: str) -> set[Key]:
        return {one.key for one in shelf.browsed(order)}

    assert keys("width") == {1, 2, 3}
    assert keys("sold") == {True, False, None}
    assert keys("stars") == {"1", "2", "2.5", "-1", "0", str(10**40), "0.1", None}
    assert keys("day") == {
        *("0001-01-01T00:00:00.000000Z", "2024-02-29T00:00:00.000000Z"),
        *("2024-02-29T12:00:00.000001Z", "9999-12-31T00:00:00.000000Z", None),
    }
    assert keys("place") == {"Lisbon", "lisbon", "Łódź", "", "x" * 200, "'; --", None}
    assert keys("metadata.stars") == keys("stars"), "a declared key has its declared type"
    assert keys("metadata.none") == {None}


def test_only_pictures_that_pass_are_listed_and_counted(shelf: Shelf) -> None:
    where = parse({"width": 2, "caption": {"exists": True}}, DECLARED)
    listed = shelf.passing(where, "-bytes", None, COUNT)
    assert {(one.image.width, one.image.caption) for one in listed} == {(2, "a"), (2, "B")}
    assert count(shelf.session, shelf.collection_id, where) == len(listed) > 0


def test_a_page_goes_on_where_its_last_picture_is_gone(shelf: Shelf) -> None:
    first, second, third = shelf.browsed("-stars", None, 3)
    gone = "UPDATE images SET removed_at = now() WHERE id = :id"
    with shelf.session.begin_nested() as nested:
        shelf.session.execute(text(gone), {"id": second.image.id})
        assert shelf.browsed("-stars", second.position, 1) == [third]
        assert shelf.browsed("-stars", None, 2) == [first, third]
        nested.rollback()


@pytest.mark.parametrize(
    ("order", "after"),
    [
        ("width", ("wide", 1)),
        ("width", ("NaN", 1)),
        ("width", (1, -1)),
        ("width", (1, 2**63)),
        ("stars", (True, 1)),
        ("sold", (1, 1)),
        ("day", ("soon", 1)),
        ("day", (3, 1)),
        ("place", (3, 1)),
        ("place", ("\0", 1)),
    ],
)
def test_a_position_of_another_order_is_refused(shelf: Shelf, order: str, after: Position) -> None:
    with pytest.raises(CursorRejected, match="does not belong to this order"):
        shelf.browsed(order, after)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("hieght", 'order_by: there is no field "hieght"; did you mean height'),
        ("--width", 'order_by: there is no field "-width"'),
        ("", 'order_by: there is no field ""'),
        ("metadata.", "order_by: after metadata. a key of 1 to 100"),
        ("-tags", 'order_by: "tags" holds tags, which have no order'),
        ("metadata.tags", 'order_by: "tags" holds tags'),
    ],
)
def test_an_order_that_cannot_be_is_refused_by_name(order: str, message: str) -> None:
    with pytest.raises(FilterRejected, match=message):
        parse_order(order, DECLARED)


def values(shelf: Shelf, name: str) -> list[Any]:
    return [one.image.metadata[name] for one in shelf.browsed("id")]


def most_frequent(found: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(found.items(), key=lambda one: (-one[1], one[0]))


def test_facets_count_the_values_of_a_declared_field(shelf: Shelf) -> None:
    texts = Counter(one[:200] for one in values(shelf, "place") if isinstance(one, str))
    assert shelf.facets("place") == most_frequent(texts)
    numbers = Counter(one for one in values(shelf, "stars") if type(one) in (int, float))
    assert shelf.facets("stars") == most_frequent(numbers)
    flags = Counter(one for one in values(shelf, "sold") if isinstance(one, bool))
    assert shelf.facets("sold") == most_frequent(flags)


def test_facets_of_dates_are_moments_and_of_tags_each_of_them(shelf: Shelf) -> None:
    days = dict(shelf.facets("day"))
    assert days["9999-12-31T00:00:00.000000Z"] == values(shelf, "day").count("9999-12-31")
    tags = Counter(
        tag[:200]
        for listed in values(shelf, "tags")
        if isinstance(listed, list)
        for tag in {one for one in listed if isinstance(one, str)}
    )
    assert shelf.facets("tags") == most_frequent(tags)
    assert set(tags) == {"a", "b", "y" * 200}


def test_facets_are_of_the_pictures_that_pass_and_bounded(shelf: Shelf) -> None:
    where = parse({"sold": True}, DECLARED)
    found = facets(shelf.session, shelf.collection_id, where, "sold", DECLARED, 5)
    assert found == [(True, count(shelf.session, shelf.collection_id, where))]
    assert shelf.facets("place", 2) == shelf.facets("place")[:2]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("qqq", r"\. Values are counted of"),
        ("width", ""),
        ("metadata.place", "; did you mean place"),
        ("camra", "; did you mean camera"),
    ],
)
def test_facets_of_what_is_not_declared_are_refused(shelf: Shelf, name: str, near: str) -> None:
    with pytest.raises(
        FilterRejected, match=f'facets: "{name}" is not a declared field{near}'
    ) as error:
        shelf.facets(name)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("limit", [0, MAX_FACET_VALUES + 1])
def test_a_number_of_facets_out_of_bounds_is_refused(shelf: Shelf, limit: int) -> None:
    with pytest.raises(FilterRejected, match=f"{limit} values; 1 to {MAX_FACET_VALUES} are"):
        shelf.facets("place", limit)


@pytest.mark.parametrize("order", ["-stars", "day", "path", "-id"])
def test_ids_are_brought_into_an_order(shelf: Shelf, order: str) -> None:
    parsed = parse_order(order, DECLARED)
    listed = shelf.browsed(order)
    ids = sorted(one.image.id for one in listed)
    assert sort_ids(shelf.session, ids, parsed) == [one.image.id for one in listed]
    key = {one.image.id: one.key for one in listed}
    backwards = sort_ids(shelf.session, ids[::-1], parsed)
    assert [key[one] for one in backwards] == [one.key for one in listed]
    for one, other in pairwise(backwards):
        assert key[one] != key[other] or one > other, "ties stay as they were given"


def test_an_order_keeps_ids_that_are_unknown_or_given_twice(shelf: Shelf) -> None:
    (first,) = shelf.browsed("stars", None, 1)
    ids = [10**15, first.image.id, 10**15 + 1, first.image.id]
    expected = [first.image.id, first.image.id, 10**15, 10**15 + 1]
    assert sort_ids(shelf.session, ids, parse_order("stars", DECLARED)) == expected
    assert sort_ids(shelf.session, [], parse_order("stars", DECLARED)) == []
