"""Values of fields: what is refused is what filters could not find, as Postgres reads it."""

import json
from typing import Any

import pytest
from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import JSONB

from app.catalog.filters.declared_values import KINDS, MOST_NAMED, misfits
from app.catalog.filters.field_expressions import EXPRESSIONS, MetadataValue
from app.database import connections, migrating

VALUES: list[Any] = [
    *("", "five", "né", "5", 0, 1, -2.5, 1e-20, True, False, {}, {"a": 1}, [], ["a"], ["a", "b"]),
    *("2024-02-29", "2023-02-29", "2024-02-29T12:30:00+02:00", "2024-02-29 12:30", "20240229"),
    *("2024-02-29T12:30:00.000001Z", "2024-W05-1", "2024-02-29T12", "infinity", "now", "tomorrow"),
    *("9999-12-31", "0001-01-01", "0000-01-01", "24-02-29", "1e400", "NaN", 10**299, 10**300),
    *(10**400, 1e300, 5e-324, "x" * 60_000, "2020-01-01" + "0" * 500, "2020-01-01\n"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_fits_its_field_where_filters_find_it(database_url: str, kind: str) -> None:
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    sessions = connections.open_sessions(engine)
    wrong = []
    with sessions.begin() as session:
        for value in VALUES:
            held = literal({"a": value}, JSONB())
            entry = MetadataValue(held.op("->", return_type=JSONB())("a"), held["a"].astext)
            found = session.execute(select(EXPRESSIONS[kind](entry)[1])).scalar_one() is not None
            if (not misfits({"a": value}, {"a": kind})) != found:
                wrong.append(json.dumps(value)[:40])
    engine.dispose()
    assert wrong == []


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"stars": "five"},
            'metadata.stars: "five" is not a number, and stars is a field of the type number',
        ),
        ({"stars": 10**300}, "has more than 300 digits, and stars is a field of the type number"),
        ({"tags": "beach"}, 'metadata.tags: "beach" is not a list of texts, and tags is a field'),
        ({"tags": ["a", 1]}, "metadata.tags: a list is not a list of texts"),
        ({"title": {"en": "a"}}, "metadata.title: an object is not a text"),
        ({"day": "31.5.2024"}, 'metadata.day: "31.5.2024" is not a date in ISO 8601, such as 2024'),
        ({"sold": "yes"}, 'metadata.sold: "yes" is not true or false'),
    ],
)
def test_what_does_not_fit_is_told_with_its_field(metadata: dict[str, Any], message: str) -> None:
    declared = {
        "stars": "number",
        "day": "date",
        "sold": "boolean",
        "tags": "tags",
        "title": "text",
    }
    assert message in misfits(metadata, declared)


def test_what_is_of_no_field_or_fits_is_not_told() -> None:
    declared = {"place": "text", "stars": "number", "title": "number"}
    fits: list[dict[str, Any]] = [
        {"anything": ["goes", 1], "stars": None},
        {"label": 3, "tags": "beach"},  # the collection declares neither
        {"place": "Lisbon"},
        {"place": {"city": "Lisbon"}},  # as files say it: place.city finds it
        {"title": 5},  # as the collection declares it
        {"title": "as files say it"},
    ]
    assert [misfits(one, declared) for one in fits] == [""] * len(fits)


def test_of_many_that_do_not_fit_some_are_told() -> None:
    declared = {f"f{number}": "number" for number in range(50)}
    told = misfits(dict.fromkeys(declared, "x" * 10_000), declared)
    assert told.count("metadata.f") == MOST_NAMED
    assert len(told) < 1_500
