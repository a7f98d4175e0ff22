"""What declared fields are: their names, their expressions, their indexes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ClauseElement, ColumnElement, Executable, Select, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session

from app.catalog.filters.field_names import MAX_FIELDS, TYPES, check_declared
from app.catalog.filters.fields import (
    compare,
    declared_field,
    find_field,
    index_name,
    index_statement,
)
from app.catalog.filters.filters import parse
from app.catalog.images.file_names import NAMES, names_beginning
from app.database import connections, migrating
from app.database.tables import PRESENT, images
from app.errors import CollectionRejected
from app.index.scan_settings import prepare

COUNT = 4_000  # pictures in each of two collections
DECLARED = {
    "camera": "text",
    "price": "number",
    "signed": "boolean",
    "shot": "date",
    "labels": "tags",
}
LONG = "x" * 60_000
HOSTILE = [
    *(LONG, "", "né", 1, -2.5, 0, True, False, None, {}, {"a": 1}, [], ["a", 1], [LONG], [["a"]]),
    *("2020-02-30", "2020-01-01T00:00 BC", "9999-12-31T23:59:59-10", "0001-01-01T00:00+10"),
    *("2020-01-01" + "0" * 50_000, "infinity", "now", "1e400", "NaN", 10**400, 1e-320),
]


class explain(Executable, ClauseElement):  # noqa: N801  # reads as SQL
    """EXPLAIN of a statement, with the statement's own bound values."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(explain, "postgresql")
def _compile_explain(element: explain, compiler: Any, **options: Any) -> str:
    return f"EXPLAIN {compiler.process(element.statement, **options)}"


@pytest.fixture(scope="module")
def loaded(database_url: str) -> Iterator[connections.Sessions]:
    """Two collections of COUNT pictures each, with an index of each declared field."""
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    sessions = connections.open_sessions(engine)
    with sessions.begin() as session:
        for number in (1, 2):
            load(session, f"shelf {number}")
    with sessions.begin() as session:
        session.execute(text("ANALYZE images"))
    yield sessions
    engine.dispose()


def load(session: Session, name: str) -> None:
    collection_id = session.execute(
        text(
            "INSERT INTO collections (namespace, name, fields) "
            "VALUES ('test', :name, cast(:fields AS jsonb)) RETURNING id"
        ),
        {"name": name, "fields": json.dumps(DECLARED)},
    ).scalar_one()
    session.execute(
        text(
            "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, "
            "format, metadata) SELECT :collection, 'folder ' || n % 50 || '/' || n, "
            "sha256(n::text::bytea), n::text, n, 1, 1, 'PNG', jsonb_build_object("
            "'camera', 'Camera ' || n, 'price', n / 8.0, 'signed', n % 100 = 0, "
            "'shot', ('2000-01-01'::date + n)::text, 'labels', jsonb_build_array('label ' || n)) "
            "FROM generate_series(1, :count) AS n"
        ),
        {"collection": collection_id, "count": COUNT},
    )
    for field, kind in DECLARED.items():
        session.execute(text(index_statement(collection_id, field, kind)))


def collection(session: Session) -> int:
    query = text("SELECT id FROM collections WHERE name = 'shelf 2'")
    found: int = session.execute(query).scalar_one()
    return found


@pytest.mark.parametrize(
    ("body", "index", "found"),
    [
        ({"camera": "Camera 77"}, "camera", 1),
        ({"camera": {"in": ["Camera 77", "Camera 78"]}}, "camera", 2),
        ({"camera": {"gte": "Camera 77", "lt": "Camera 78"}}, "camera", 11),
        ({"camera": {"prefix": "Camera 399"}}, "camera", 11),
        ({"camera": "Camera 77" + "x" * 300}, "camera", 0),
        ({"metadata.camera": "Camera 77"}, "camera", 1),
        ({"price": 12.5}, "price", 1),
        ({"price": {"gt": 12, "lte": 13}}, "price", 8),
        ({"price": {"in": [12.5, 13]}}, "price", 2),
        ({"and": [{"signed": True}, {"width": 1}]}, "signed", 40),
        ({"shot": "2001-01-01"}, "shot", 1),
        ({"shot": {"gte": "2001-01-01T00:00:00Z", "lt": "2001-01-11"}}, "shot", 10),
        ({"labels": {"contains": "label 5"}}, "labels", 1),
        ({"labels": {"in": ["label 5", "label 6"]}}, "labels", 2),
    ],
)
def test_filters_on_declared_fields_use_their_index(
    loaded: connections.Sessions, body: dict[str, Any], index: str, found: int
) -> None:
    with loaded() as session:
        collection_id = collection(session)
        plan, ids = planned(session, collection_id, parse(body, DECLARED).condition)
    assert index_name(collection_id, index, DECLARED[index]) in plan
    assert len(ids) == found


@pytest.mark.parametrize(
    ("body", "index", "found"),
    [
        ({"path": {"prefix": "folder 7/12"}}, "images_collection_id_path_key", 2),
        ({"path": "folder 7/7"}, "images_collection_id_path_key", 1),
        ({"id": {"in": [1, 2.5, 10**30]}}, "images_present_idx", 0),
    ],
)
def test_filters_on_paths_and_ids_use_the_columns_indexes(
    loaded: connections.Sessions, body: dict[str, Any], index: str, found: int
) -> None:
    with loaded() as session:
        plan, ids = planned(session, collection(session), parse(body, DECLARED).condition)
    assert index in plan
    assert len(ids) == found


def planned(
    session: Session, collection_id: int, condition: ColumnElement[bool]
) -> tuple[str, list[int]]:
    query = select(images.c.id).where(images.c.collection_id == collection_id, PRESENT, condition)
    plan = "\n".join(session.execute(explain(query)).scalars())
    return plan, list(session.execute(query).scalars())


def test_a_sorted_page_is_read_from_the_index(loaded: connections.Sessions) -> None:
    field = declared_field("price", "number")
    with loaded() as session:
        collection_id = collection(session)
        query = select(images.c.id).where(images.c.collection_id == collection_id, PRESENT)
        query = query.where(field.key.is_not(None)).order_by(field.key.desc(), images.c.id)
        plan = "\n".join(session.execute(explain(query.limit(10))).scalars())
    assert f"Index Scan Backward using {index_name(collection_id, 'price', 'number')}" in plan


def test_whatever_the_metadata_hold_a_picture_is_taken_and_no_filter_fails(
    loaded: connections.Sessions,
) -> None:
    with loaded() as session:
        collection_id = collection(session)
        for number, value in enumerate(HOSTILE):
            insert(session, collection_id, f"hostile {number}", dict.fromkeys(DECLARED, value))
        for name, kind in DECLARED.items():
            field = declared_field(name, kind)
            assert len(session.execute(select(field.value, field.key)).all()) > 2 * COUNT
            for undeclared in DECLARED.values():
                session.execute(select(find_field("metadata.camera", {}, undeclared).key)).all()
        session.rollback()


def insert(session: Session, collection_id: int, path: str, metadata: dict[str, Any]) -> int:
    query = text(
        "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, "
        "format, metadata) VALUES (:collection, :path, sha256(''), '', 1, 1, 1, 'PNG', "
        "cast(:metadata AS jsonb)) RETURNING id"
    )
    values = {"collection": collection_id, "path": path, "metadata": json.dumps(metadata)}
    found: int = session.execute(query, values).scalar_one()
    return found


@pytest.mark.parametrize("name", ["camera", "caption"])
def test_a_long_text_is_kept_and_found_by_all_of_it(
    loaded: connections.Sessions, name: str
) -> None:
    field = find_field(name, DECLARED)
    with loaded() as session:
        collection_id = collection(session)
        added = [
            insert(session, collection_id, f"long {end}", {"camera": LONG + end})
            for end in ("", "y", "z")
        ]
        session.execute(text("UPDATE images SET caption = metadata ->> 'camera' WHERE bytes = 1"))

        def found(operator: str, value: str) -> list[int]:
            condition = compare(field, operator, value) & images.c.id.in_(added)
            return sorted(planned(session, collection_id, condition)[1])

        assert found("eq", LONG + "y") == [added[1]]
        assert found("gt", LONG) == added[1:]
        assert found("gte", LONG + "y") == added[1:]
        assert found("lt", LONG + "z") == added[:2]
        assert found("lte", LONG + "y") == added[:2]
        for operator, body in (("prefix", "x" * 1_000), ("contains", "XXY")):
            plan, ids = planned(
                session, collection_id, parse({name: {operator: body}}, DECLARED).condition
            )
            assert set(ids) >= {added[1]}, plan
        session.rollback()


def test_a_number_of_too_many_digits_is_none(loaded: connections.Sessions) -> None:
    with loaded() as session:
        collection_id = collection(session)
        fits = insert(session, collection_id, "fits", {"price": 10**299})
        insert(session, collection_id, "too long", {"price": 10**300})
        _, ids = planned(session, collection_id, parse({"price": {"gt": 1e9}}, DECLARED).condition)
        session.rollback()
    assert ids == [fits]


def test_dates_are_those_that_python_has(loaded: connections.Sessions) -> None:
    values = {
        "9999-12-31": True,
        "9999-12-31T23:59:59.999999Z": True,
        "0001-01-01": True,
        "2020-02-29 10:00+05:30": True,
        "9999-12-31T23:59-12:00": False,
        "0001-01-01T00:00+12:00": False,
        "2020-01-01T00:00 BC": False,
        "2021-02-29": False,
        "yesterday": False,
    }
    with loaded() as session:
        collection_id = collection(session)
        added = {insert(session, collection_id, value, {"shot": value}): value for value in values}
        condition = parse({"shot": {"exists": True}}, DECLARED).condition
        _, ids = planned(session, collection_id, condition & images.c.id.in_(added))
        session.rollback()
    assert {value: image_id in ids for image_id, value in added.items()} == values


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"a b": "text"}, '"a b" is not a field name'),
        ({"": "text"}, '"" is not a field name'),
        ({"1a": "text"}, '"1a" is not a field name'),
        ({"a" * 41: "text"}, "is not a field name"),
        ({"a\n": "text"}, "is not a field name"),
        ({"é": "text"}, '"é" is not a field name'),
        ({"a'b": "text"}, "is not a field name"),
        ({"a.b": "text"}, "is not a field name"),
        ({"width": "number"}, '"width" is a reserved name'),
        ({"not": "text"}, '"not" is a reserved name'),
        ({"metadata": "text"}, '"metadata" is a reserved name'),
        ({"a": "integer"}, '"a" has the type "integer"; types are text, number'),
        ({f"f{n}": "text" for n in range(MAX_FIELDS + 1)}, "51 of them; 50 are allowed"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_name(fields: dict[str, str], message: str) -> None:
    with pytest.raises(CollectionRejected, match=message):
        check_declared(fields)


def test_names_within_the_bounds_are_taken() -> None:
    declared = {"a" * 40: "text", "_": "tags", "A-1": "date", "a-1": "boolean"}
    check_declared(declared)
    assert {name: find_field(name, declared).kind for name in declared} == declared


def test_the_names_of_indexes_differ_and_fit() -> None:
    names = {
        index_name(collection_id, name, kind)
        for collection_id in (1, 11, 2_147_483_647)
        for name in ("a" * 39 + "b", "a" * 39 + "c", "_1", "A", "a", "a_text")
        for kind in TYPES
    }
    assert len(names) == 18 * len(TYPES)
    assert max(len(name.encode()) for name in names) <= 63


def test_names_that_begin_so_are_read_from_their_index(loaded: connections.Sessions) -> None:
    """Issue 19, item 13: however many pictures there are, a bounded number of entries is read."""
    with loaded.begin() as session:
        prepare(session)
        shelf = collection(session)
        values = {"collection_id": shelf, "first": "1", "last": "1\U0010ffff", "limit": 8}
        plan = "\n".join(session.execute(explain(NAMES), values).scalars())
        found = names_beginning(session, shelf, "12", 3)
    assert "Index Scan using images_file_name_idx" in plan
    assert "Sort" not in plan
    assert [name for name, _ in found] == ["12", "120", "1200"]
