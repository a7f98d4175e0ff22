"""Filters: their answers beside a plain evaluation of the same grammar, and what is refused."""

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as some
from sqlalchemy import select, text, true
from sqlalchemy.orm import Session

from app.catalog.filters.conditions import OPERATORS
from app.catalog.filters.field_names import COLUMNS
from app.catalog.filters.filters import MAX_CLAUSES, MAX_DEPTH, parse
from app.database import connections, migrating
from app.database.tables import Declared, images
from app.errors import FilterRejected

DECLARED = {"place": "text", "stars": "number", "sold": "boolean", "day": "date", "tags": "tags"}
COUNT = 60

HOSTILE = (
    *("", "'", '"', "%", "_", "\\", "'; DROP TABLE images; --", "a%b", "a_b", "axb", "$1", ":a"),
    *("%(a)s", "{}", "[]", "null", "Ünïcödé", "ÜNÏCÖDÉ", "日本", "😀", "\ufeff", "\n", "a' OR 'a"),
    *("Lisbon", "lisbon", "Lisbon, Portugal", "x" * 199, "x" * 200, "x" * 201, "x" * 200 + "y"),
)
NUMBERS = (0, 1, -1, 2.5, 0.1, 3, 640, 2**31, 2**63, 10**30, -1e300, 5e-324)
DATES = (
    *("2024-02-29", "2024-02-29T00:00:00", "2024-02-29T12:30:00+02:00", "1969-12-31T23:59:59Z"),
    *("2024-02-29T10:30:00.000001Z", "9999-12-31", "0001-01-01", "2024-03-01"),
)
NO_DATES = ("2024-02-30", "yesterday", "2024-01-01T00:00 BC", "0001-01-01T00:00+12:00", "infinity")
KEYS = ("a'b", 'q"', "%s", "x.y", "日本", "'; DROP TABLE images; --", "\\", "mixed", ":k", " ")
ANY_JSON: tuple[Any, ...] = (
    *HOSTILE,
    *NUMBERS,
    True,
    False,
    None,
    [],
    {},
    ["a", "%"],
    {"a": 1},
    [1, "Lisbon"],
)


def oracle(row: dict[str, Any], body: dict[str, Any]) -> bool:
    """Whether a picture passes, without SQL; its own reading of what the grammar says."""
    results = []
    for name, inner in body.items():
        if name == "and":
            results.append(all(oracle(row, one) for one in inner))
        elif name == "or":
            results.append(any(oracle(row, one) for one in inner))
        elif name == "not":
            results.append(not oracle(row, inner))
        else:
            asked = inner if isinstance(inner, dict) else {"eq": inner}
            results += [answer(row, name, asking, value) for asking, value in asked.items()]
    return all(results)


def answer(row: dict[str, Any], name: str, asking: str, wanted: Any) -> bool:
    if asking == "ne":
        return not answer(row, name, "eq", wanted)
    if asking == "in":
        tags = kind_of(name) == "tags"
        return any(answer(row, name, "contains" if tags else "eq", one) for one in wanted)
    kind = kind_of(name)
    if asking == "exists":
        return (held(row, name, kind) is not None) is wanted
    if kind is None and asking == "contains":
        kinds = ("text", "tags")
        return any(holds(held(row, name, one), asking, wanted, one) for one in kinds)
    if row["taken_local"] and name == "taken_at" and not datetime.fromisoformat(wanted).tzinfo:
        return holds(row["taken_local"].replace(tzinfo=UTC), asking, wanted, "date")
    kind = kind or {str: "text", bool: "boolean"}.get(type(wanted), "number")
    return holds(held(row, name, kind), asking, wanted, kind)


def kind_of(name: str) -> str | None:
    return COLUMNS.get(name) or DECLARED.get(name.removeprefix("metadata."))


def held(row: dict[str, Any], name: str, kind: str | None) -> Any:
    """What the picture has there, if it is of the kind; None if it is not."""
    value = row[name] if name in COLUMNS else row["metadata"].get(name.removeprefix("metadata."))
    if kind is None or value is None:
        return value
    if kind == "number":
        fits = type(value) in (int, float) and len(f"{exact(value):f}") <= 300
        return exact(value) if fits else None
    if kind == "date":
        return value if isinstance(value, datetime) else moment(value)
    return value if type(value) is {"text": str, "boolean": bool, "tags": list}[kind] else None


def holds(found: Any, asking: str, wanted: Any, kind: str) -> bool:
    if found is None:
        return False
    if kind == "tags":
        return wanted in [one for one in found if isinstance(one, str)]
    if asking == "contains":
        return str(wanted).lower() in str(found).lower()
    if asking == "prefix":
        return str(found).startswith(wanted)
    right = {"number": exact, "date": moment}.get(kind, lambda same: same)(wanted)
    outcome: bool = {
        "eq": found == right,
        "lt": found < right,
        "lte": found <= right,
        "gt": found > right,
        "gte": found >= right,
    }[asking]
    return outcome


def exact(number: float) -> Decimal:
    return Decimal(repr(number))


def moment(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True, repr=False)
class Shelf:
    """A collection of COUNT pictures of all kinds, and its rows as Python has them."""

    session: Session
    collection_id: int
    rows: dict[int, dict[str, Any]]

    def passing(self, body: dict[str, Any]) -> set[int]:
        query = select(images.c.id).where(images.c.collection_id == self.collection_id)
        return set(self.session.execute(query.where(parse(body, DECLARED).condition)).scalars())

    def expected(self, body: dict[str, Any]) -> set[int]:
        return {image_id for image_id, row in self.rows.items() if oracle(row, body)}


@pytest.fixture(scope="module")
def shelf(database_url: str) -> Iterator[Shelf]:
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    with connections.open_sessions(engine)() as session:
        make = "INSERT INTO collections (namespace, name) VALUES ('test', 'shelf') RETURNING id"
        collection_id: int = session.execute(text(make)).scalar_one()
        session.execute(images.insert(), list(pictures(collection_id)))
        found = session.execute(select(images)).mappings()
        yield Shelf(session, collection_id, {row["id"]: dict(row) for row in found})
        session.rollback()
    engine.dispose()


def pictures(collection_id: int) -> Iterator[dict[str, Any]]:
    """Values of different cycles: each meets each other's."""
    texts, numbers = itertools.cycle(HOSTILE), itertools.cycle(NUMBERS)
    anything, dates = itertools.cycle(ANY_JSON), itertools.cycle((*DATES, *NO_DATES))
    clocks = itertools.cycle((None, datetime(2024, 2, 29, 12, 30), datetime(2024, 2, 29)))
    for number in range(COUNT):
        taken_at = moment(next(dates))
        metadata = {
            "place": next(texts if number % 3 else anything),
            "stars": next(numbers if number % 4 else anything),
            "sold": (True, False, None, "true", 1)[number % 5],
            "day": next(dates if number % 7 else anything),
            "tags": ([], ["a", next(texts)], "a", None, [1, None, ["a"], "Lisbon"])[number % 5],
            KEYS[number % len(KEYS)]: next(anything),
            "mixed": next(anything),
        }
        lacking = list(metadata)[number % len(metadata)]
        yield {
            "collection_id": collection_id,
            "path": f"{next(texts)}/{number}",
            "etag": "",
            "content_hash": hashlib.sha256(bytes([number])).digest(),
            "bytes": 2**number,
            "width": number % 7 + 1,
            "height": 640,
            "format": ("PNG", "JPEG")[number % 2],
            "caption": next(texts) if number % 3 else None,
            "origin": next(texts),
            "taken_at": taken_at,
            "taken_local": taken_at and next(clocks),
            "metadata": {key: metadata[key] for key in metadata if key != lacking},
        }


VALUES = {
    "text": some.sampled_from(HOSTILE)
    | some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs", "Lu", "Lt"])),
    "number": some.sampled_from(NUMBERS)
    | some.integers(-(10**300), 10**300)
    | some.floats(-1e300, 1e300),
    "boolean": some.booleans(),
    "date": some.sampled_from(DATES)
    | some.datetimes(timezones=some.just(UTC)).map(datetime.isoformat)
    | some.dates().map(str),
    "tags": some.sampled_from(HOSTILE),
}
KEY = some.sampled_from(KEYS) | some.text(
    some.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=100
)


@some.composite
def conditions(draw: some.DrawFn) -> dict[str, Any]:
    known = some.sampled_from([*COLUMNS, *DECLARED, "metadata.stars"])
    name = draw(known | KEY.map("metadata.{}".format))
    kind = kind_of(name) or draw(some.sampled_from(("text", "number", "boolean")))
    asking = draw(some.sampled_from(OPERATORS[kind]))
    if asking == "exists":
        return {name: {asking: draw(some.booleans())}}
    if asking == "in":
        return {name: {asking: draw(some.lists(VALUES[kind], max_size=4))}}
    value = draw(VALUES[kind])
    return {name: value} if asking == "eq" and draw(some.booleans()) else {name: {asking: value}}


def combined(inner: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    listed = some.lists(inner, max_size=3)
    parts: some.SearchStrategy[Any] = some.builds(dict, **{"and": listed}) | some.builds(
        dict, **{"or": listed}
    )
    parts |= some.builds(dict, **{"not": inner})
    return parts | some.builds(dict.__or__, parts, inner)


FILTERS = some.recursive(conditions() | some.just({}), combined, max_leaves=8)


@examples(
    max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(FILTERS)
@example({"metadata.mixed": {"contains": "a"}})
@example({"not": {"or": [{"place": {"ne": "Lisbon"}}, {"not": {"stars": {"gt": 1}}}]}})
@example({"place": {"gt": "x" * 200, "ne": "x" * 201}})
@example({"place": {"in": ["x" * 201, "x" * 199]}})
@example({"id": 10**30, "width": 2.5})
def test_sql_and_a_plain_evaluation_agree(shelf: Shelf, body: dict[str, Any]) -> None:
    assert shelf.passing(body) == shelf.expected(body)
    assert shelf.passing({"not": body}) == set(shelf.rows) - shelf.expected(body)


@pytest.mark.parametrize("name", [*COLUMNS, *DECLARED, *(f"metadata.{key}" for key in KEYS)])
def test_each_field_answers_each_of_its_operators(shelf: Shelf, name: str) -> None:
    for kind in [kind_of(name)] if kind_of(name) else ["text", "number", "boolean"]:
        values = {"text": HOSTILE, "number": NUMBERS, "boolean": (True, False), "date": DATES}
        for asking in OPERATORS[str(kind)]:
            for value in (True, False) if asking == "exists" else values.get(str(kind), HOSTILE):
                body = {name: {asking: [value, value] if asking == "in" else value}}
                assert shelf.passing(body) == shelf.expected(body), body


def test_the_pictures_are_diverse_enough(shelf: Shelf) -> None:
    assert len(shelf.rows) == COUNT
    for name in ("caption", "taken_at", *DECLARED):
        having = shelf.passing({name: {"exists": True}})
        assert 0 < len(having) < COUNT, name


def test_everything_passes_an_empty_filter(shelf: Shelf) -> None:
    assert shelf.passing({}) == set(shelf.rows)
    assert parse({}, DECLARED).clauses == []


def test_nothing_passes_an_empty_or_and_everything_an_empty_and(shelf: Shelf) -> None:
    assert shelf.passing({"or": []}) == set()
    assert shelf.passing({"and": []}) == set(shelf.rows)


def test_letters_are_found_whatever_their_case_in_every_text(shelf: Shelf) -> None:
    for name in ("path", "caption", "origin", "place"):
        found = shelf.passing({name: {"contains": "ünïcödé"}})
        assert found == shelf.passing({name: {"contains": "ÜNÏCÖDÉ"}}) != set()


def test_clauses_tell_which_of_them_a_picture_fails(shelf: Shelf) -> None:
    body = {
        "stars": {"gte": 1, "lt": 3},
        "and": [{"format": "PNG"}, {"and": [{"place": {"ne": "'"}}]}],
        "not": {"sold": True},
    }
    clauses = parse(body, DECLARED).clauses
    assert [place for place, _ in clauses] == [
        *("filter.stars.gte", "filter.stars.lt", "filter.and[0].format"),
        *("filter.and[1].and[0].place.ne", "filter.not"),
    ]
    query = select(images.c.id, *(condition for _, condition in clauses), true())
    rows = {row[0]: row[1:] for row in shelf.session.execute(query)}
    assert {one for row in rows.values() for one in row} == {True, False}, "null is not among them"
    assert {image_id for image_id, row in rows.items() if all(row)} == shelf.passing(body)


def test_a_filter_of_the_largest_bounds_is_answered(shelf: Shelf) -> None:
    values = [f"{number:04}" * 5 for number in range(1_000)]
    fields = ["place", "tags", *(f"metadata.{number}" for number in range(MAX_CLAUSES - 3))]
    body: dict[str, Any] = {name: {"in": values} for name in fields}
    body = {"or": [body, {"width": {"lt": 0}}]}
    for _ in range(MAX_DEPTH - 1):
        body = {"not": body}
    assert shelf.passing(body) == set(shelf.rows)


def refusal(body: object) -> str:
    with pytest.raises(FilterRejected) as refused:
        parse(body, DECLARED)
    str(refused.value).encode()
    return str(refused.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"and": [{}, {"width": {"gte": "wide"}}]},
            'filter.and[1].width.gte: "wide" is not a number',
        ),
        (["a"], "filter: a list is not a filter"),
        (None, "filter: null is not a filter"),
        ({"and": {}}, "filter.and: an object is not a list of filters"),
        ({"or": [3]}, "filter.or[0]: 3 is not a filter"),
        ({"not": [{}]}, "filter.not: a list is not a filter"),
        ({"width": {}}, "filter.width: an operator is needed"),
        ({"width": {"near": 3}}, 'filter.width.near: a field of the type number has no operator "'),
        ({"width": {"contains": 3}}, "it has eq, ne, in, lt, lte, gt, gte, exists."),
        ({"tags": "a"}, 'has no operator "eq"; it has contains, in, exists.'),
        ({"sold": {"lt": True}}, 'a field of the type boolean has no operator "lt"'),
        ({"metadata.x": {"lt": True}}, 'a field of the type boolean has no operator "lt"'),
        ({"caption": None}, "filter.caption: null is not a text"),
        ({"caption": ["a"]}, "filter.caption: a list is not a text"),
        ({"width": True}, "filter.width: true is not a number"),
        ({"width": math.nan}, "filter.width: NaN is not a finite number"),
        ({"width": math.inf}, "filter.width: Infinity is not a finite number"),
        ({"width": 10**301}, "filter.width: send a number between"),
        ({"width": 10**5000}, "filter.width: send a number between"),
        ({"width": -1.1e300}, "filter.width: send a number between"),
        ({"width": {"in": 3}}, "filter.width.in: 3 is not a list of values"),
        ({"width": {"in": [1, "2"]}}, 'filter.width.in: "2" is not a number'),
        ({"metadata.x": {"in": [1, "2"]}}, 'filter.metadata.x.in: "2" is not a number'),
        ({"width": {"in": [1] * 1_001}}, "filter.width.in: 1,001 values; 1,000 are allowed"),
        ({"width": {"exists": 1}}, "filter.width.exists: 1 is neither true nor false"),
        ({"sold": 0}, "filter.sold: 0 is neither true nor false"),
        ({"place": 0}, "filter.place: 0 is not a text"),
        ({"place": "a\0"}, r'filter.place: "a\u0000" has a NUL or half'),
        ({"place": "\ud800"}, r'filter.place: "\ud800" has a NUL or half'),
        ({"place": "a" * 1_001}, "filter.place: send a text of at most 1,000 characters"),
        ({"metadata.x": "\0"}, "filter.metadata.x: "),
        ({"metadata.\0": "a"}, r"filter.metadata.\u0000: after metadata. a key of 1 to 100"),
        ({"metadata.\ud800": "a"}, r"filter.metadata.\ud800: after metadata. a key"),
        ({"metadata.": "a"}, "filter.metadata.: after metadata. a key of 1 to 100 characters"),
        ({"metadata." + "a" * 101: "a"}, "after metadata. a key of 1 to 100 characters"),
        ({"metadata": {"a": 1}}, 'filter.metadata.a: there is no field "metadata"'),
        ({"day": "2024-02-30"}, 'filter.day: "2024-02-30" is not a date in the years 1 to 9999'),
        ({"day": 2024}, "filter.day: 2024 is not a text"),
        ({"taken_at": "0001-01-01T00:00+01:00"}, "is not a date in the years 1 to 9999"),
        ({"taken_at": "10000-01-01"}, "is not a date in the years 1 to 9999"),
        ({"tags": {"contains": ["a"]}}, "filter.tags.contains: a list is not a text"),
    ],
)
def test_what_is_wrong_is_refused_by_place(body: object, message: str) -> None:
    assert message in refusal(body)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hieght", 'there is no field "hieght"; did you mean height? '),
        ("Width", 'there is no field "Width"; did you mean width? '),
        ("postion", 'there is no field "postion"; did you mean position? '),
        ("star", 'there is no field "star"; did you mean stars? '),  # of the declared ones
        (
            "qqq",
            'there is no field "qqq". If it is in your pictures\' metadata, write metadata.qqq; ',
        ),
        ("qqq", 'with {"fields": {"qqq": "text"}} declares it.'),
        ("", 'there is no field "". If it is in your pictures\' metadata, write metadata.<key>; '),
        ("a\ud800", r'there is no field "a\ud800". If it is in your pictures'),
        ("x" * 100_000, f'there is no field "{"x" * 99}…. '),
    ],
)
def test_for_an_unknown_field_the_nearest_is_named(name: str, message: str) -> None:
    """All names are too many for a message; those who want them are told where they are."""
    said = refusal({"not": {name: {"exists": True}}})
    assert message in said
    assert len(said) < 500


LABEL_SETS: Declared = {
    **DECLARED,
    "labels.kind": {"id": 1, "labels": ["Screenshot", "photo", "drawing"]},
    "labels.many": {"id": 2, "labels": [f"label {number}" for number in range(100)]},
}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"labels.kind": "screnshot"},
            'filter.labels.kind: the label set has no label "screnshot"; did you mean Screenshot?',
        ),
        (
            {"or": [{"labels.kind": {"in": ["photo", "photograph"]}}]},
            'filter.or[0].labels.kind.in: the label set has no label "photograph"; did you mean p',
        ),
        ({"labels.kind": {"ne": "fotos"}}, "did you mean photo?"),
        (
            {"labels.kind": {"contains": "qqq"}},
            'no label "qqq"; there are: Screenshot, drawing, other, photo.',
        ),
        (
            {"labels.kind.screnshot": {"gte": 0.5}},
            'the label set has no label "screnshot"; did you mean Screenshot?',
        ),
        (
            {"labels.kin": "photo"},
            'filter.labels.kin: there is no label set "kin" in this collection; did you mean kind?',
        ),
        ({"labels.rooms.hall": 1}, 'no label set "rooms" in this collection; there are: kind, '),
        ({"labels.many": "qqq"}, ", …"),
    ],
)
def test_labels_that_there_are_not_are_refused(body: dict[str, Any], message: str) -> None:
    """They would find nothing, which looks as if no picture had the label."""
    with pytest.raises(FilterRejected) as error:
        parse(body, LABEL_SETS)
    assert message in str(error.value)
    assert len(str(error.value)) < 500


def test_labels_that_there_are_pass() -> None:
    for label in ("Screenshot", "other"):
        parse({"labels.kind": label, f"labels.kind.{label}": {"gte": 0.5}}, LABEL_SETS)
    with pytest.raises(FilterRejected, match=r'no label set "kind" in this collection\.$'):
        parse({"labels.kind": "photo"}, DECLARED)


def test_filters_are_bounded_in_depth_and_in_clauses() -> None:
    inner: dict[str, Any] = {"width": 1}
    for _ in range(MAX_DEPTH):
        inner = {"not": inner}
    parse(inner, {})
    assert refusal({"not": inner}).endswith("filters are nested more than 8 deep.")
    parse({"or": [{"id": number} for number in range(MAX_CLAUSES)]}, {})
    ends: list[tuple[dict[str, Any], str]] = [({"id": 1}, ".id"), ({}, ""), ({"or": []}, ".or")]
    for one, place in ends:
        said = refusal({"or": [one] * (MAX_CLAUSES + 1)})
        assert said == f"filter.or[100]{place}: the filter has more than 100 clauses."


@examples(max_examples=300, deadline=None)
@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.floats() | some.text(),
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(
                some.sampled_from(["and", "or", "not", "width", "tags", "in", "eq", "metadata.x"])
                | some.text(),
                inner,
                max_size=3,
            )
        ),
    )
)
def test_whatever_comes_is_a_filter_or_refused(body: object) -> None:
    reason = None
    try:
        found = parse(json.loads(json.dumps(body)), DECLARED)
    except FilterRejected as refused:
        reason = str(refused)
    if reason is None:
        assert len(found.clauses) <= MAX_CLAUSES
    else:
        assert reason.encode().startswith(b"filter")
