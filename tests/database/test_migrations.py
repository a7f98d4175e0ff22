"""What the migrations make of a database that has pictures, there and back."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from app.catalog.filters import fields
from app.catalog.filters.field_names import TYPES
from app.database import connections, migrating, schema_revisions
from app.errors import DatabaseUnusable

PARTITIONS = (1, 2)  # indexes of four dimensions: the default collection's and another one's
EACH = 3  # pictures in a collection

LOAD = (
    "INSERT INTO collections (namespace, name) VALUES ('default', 'other')",
    """
    INSERT INTO vector_indexes
        (collection_id, model, pretrained, fingerprint, dimensions, m, ef_construction, state)
    SELECT id, 'tiny', '', 'f', 4, 16, 64, 'active' FROM collections ORDER BY id
    """,
    """
    INSERT INTO images
        (collection_id, path, content_hash, etag, bytes, width, height, format, caption, metadata)
    SELECT collection.id, 'folder/red_car ' || n || '.png', sha256(n::text::bytea), '', 1, 1, 1,
        'PNG', 'two trees', '{"day": "2024-02-30"}'
    FROM collections AS collection, generate_series(1, :each) AS n
    """,
)


@pytest.fixture
def engine(server_url: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database at 0002 with pictures and vectors, as an older version has left it."""
    name = request.node.name[:60]
    migrating.create_database(server_url, name)
    engine = connections.open_engine(server_url.replace("/postgres?", f"/{name}?"))
    to(engine, "0002")
    with engine.begin() as connection:
        for statement in LOAD:
            connection.execute(text(statement), {"each": EACH} if ":each" in statement else {})
        for index_id in PARTITIONS:
            partition(connection, index_id)
    yield engine
    engine.dispose()


def partition(connection: Any, index_id: int) -> None:
    """As the code of 0002 made it, with a vector for each picture of its collection."""
    name = f"embeddings_{index_id}"
    for statement in (
        f"CREATE TABLE {name} (LIKE embeddings INCLUDING DEFAULTS INCLUDING CONSTRAINTS, "
        f"CONSTRAINT {name}_dimensions_check CHECK (vector_dims(embedding) = 4))",
        f"ALTER TABLE embeddings ATTACH PARTITION {name} FOR VALUES IN ({index_id})",
        f"INSERT INTO embeddings (index_id, image_id, embedding) SELECT {index_id}, images.id, "
        "'[1,0,0,1]' FROM images JOIN vector_indexes AS i ON i.collection_id = "
        f"images.collection_id WHERE i.id = {index_id}",
        f"CREATE INDEX {name}_hnsw_idx ON {name} USING hnsw "
        "((embedding::halfvec(4)) halfvec_cosine_ops)",
    ):
        connection.execute(text(statement))


def to(engine: Engine, revision: str) -> None:
    """Migrate up to a revision."""
    with engine.begin() as connection:
        command.upgrade(config(connection), revision)


def back(engine: Engine, revision: str) -> None:
    """Migrate down to a revision."""
    with engine.begin() as connection:
        command.downgrade(config(connection), revision)


def config(connection: Any) -> Config:
    made = Config()
    made.set_main_option("script_location", str(schema_revisions.MIGRATIONS))
    made.attributes["connection"] = connection
    return made


def asked(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def check_searchable(engine: Engine) -> None:
    """Every picture has its vector and its words: of its name, its caption, its metadata."""
    counted = "SELECT index_id, count(embedding) FROM embeddings GROUP BY 1 ORDER BY 1"
    assert asked(engine, counted) == [(index_id, EACH) for index_id in PARTITIONS]
    for word in ("car", "tree", "red_car", "2024-02-30"):
        found = f"SELECT count(*) FROM images WHERE words @@ plainto_tsquery('english', '{word}')"
        assert asked(engine, found) == [(len(PARTITIONS) * EACH,)], word
    nearest = "SELECT min(embedding <=> '[1,0,0,1]'::halfvec) FROM embeddings WHERE index_id = 2"
    assert asked(engine, nearest) == [(0.0,)]


def test_pictures_survive_the_way_to_the_newest_schema(engine: Engine) -> None:
    migrating.migrate(engine)
    check_searchable(engine)
    assert asked(engine, "SELECT DISTINCT storage, ef_search, chance FROM vector_indexes") == [
        ("halfvec", None, None)
    ]
    assert asked(engine, "SELECT DISTINCT language, fields FROM collections") == [("english", {})]


def test_takeouts_positions_go_and_its_sidecars_are_read_again(engine: Engine) -> None:
    """Issue 16, line 2: they were kept although KEEP_GPS was 0."""
    to(engine, "0013")
    google = (
        """{"photoTakenTime": {"timestamp": "1"}, "geoData": {"latitude": 68.69}, "url": "u"}"""
    )
    with engine.begin() as connection:
        for number, sidecar in enumerate([f'{{"metadata": {google}}}', None]):
            connection.execute(
                text(
                    "UPDATE images SET etag = '1-1', sidecar = CAST(:sidecar AS jsonb), "
                    """metadata = CAST(:google AS jsonb) || '{"stars": 5}' WHERE id = """
                    f"(SELECT id FROM images ORDER BY id OFFSET {number} LIMIT 1)"
                ),
                {"sidecar": sidecar, "google": google},
            )
    to(engine, "0014")
    changed = "SELECT metadata, sidecar, etag = '' FROM images WHERE metadata ? 'stars' ORDER BY id"
    kept = {"photoTakenTime": {"timestamp": "1"}, "url": "u", "stars": 5}
    assert asked(engine, changed) == [({"stars": 5}, None, True), (kept, None, False)]


def test_what_no_file_says_is_taken_for_peoples_words(engine: Engine) -> None:
    """Issue 16, write back: what people said was told by that alone."""
    to(engine, "0020")
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE images SET caption = 'Pier', "
                """metadata = '{"stars": 5, "label": "Red"}', """
                """sidecar = '{"caption": null, "metadata": {"label": "Red"}}', """
                """embedded = '{"caption": "Pier", "metadata": {"stars": 4}}' WHERE id = 1"""
            )
        )
    to(engine, "0025")
    said = "SELECT said_caption, said_metadata FROM images WHERE id IN (1, 2) ORDER BY id"
    assert asked(engine, said) == [(None, {"stars": 5}), ("two trees", {"day": "2024-02-30"})]


def test_declared_fields_do_not_keep_the_search_schema(engine: Engine) -> None:
    """An index of dates calls a function that goes."""
    migrating.migrate(engine)
    with engine.begin() as connection:
        for kind in TYPES:
            connection.execute(text(fields.index_statement(2, f"day-{kind}", kind)))
        connection.execute(
            text("UPDATE collections SET fields = jsonb_build_object('day-date', 'date')")
        )
    left = r"SELECT indexname FROM pg_indexes WHERE indexname ~ '^images_\d'"
    assert len(asked(engine, left)) == len(TYPES)
    back(engine, "0002")
    assert asked(engine, left) == []
    functions = "SELECT proname FROM pg_proc WHERE proname IN ('moment', 'image_words')"
    assert asked(engine, functions) == []
    migrating.migrate(engine)
    check_searchable(engine)


def test_no_column_has_a_type_that_pg_upgrade_refuses(engine: Engine) -> None:
    """Issue 21, line 42: pg_upgrade refuses any column of these types (regclass and such pass)."""
    migrating.migrate(engine)
    refused = """
    SELECT attrelid::regclass::text, attname FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND NOT attisdropped AND atttypid IN (
        'regcollation'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype,
        'regnamespace'::regtype, 'regoper'::regtype, 'regoperator'::regtype,
        'regproc'::regtype, 'regprocedure'::regtype)
    """
    assert asked(engine, refused) == []
    assert asked(engine, "SELECT DISTINCT language FROM images") == [("english",)]


def test_a_read_only_database_is_said_so(engine: Engine) -> None:
    """Issue 21, line 51."""
    with engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    engine.dispose()  # its connections are older than the setting
    with pytest.raises(DatabaseUnusable, match="is read-only: it is a hot standby"):
        migrating.migrate(engine)
