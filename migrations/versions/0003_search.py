"""What the search API needs: collections' own models and fields, full text, moments, nulls."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    ALTER TABLE collections
        ADD COLUMN language text NOT NULL DEFAULT 'english',
        ADD COLUMN fields jsonb NOT NULL DEFAULT '{}'::jsonb
            CONSTRAINT collections_fields_check CHECK (jsonb_typeof(fields) = 'object')
    """,
    """
    ALTER TABLE vector_indexes
        ADD COLUMN storage text NOT NULL DEFAULT 'halfvec'
            CONSTRAINT vector_indexes_storage_check CHECK (storage IN ('halfvec', 'vector', 'bit')),
        ADD COLUMN ef_search integer,
        ADD COLUMN chance bytea
    """,
    # A partition has its parent's columns, so each storage has one; an empty one takes no space.
    """
    ALTER TABLE embeddings
        ALTER COLUMN embedding DROP NOT NULL,
        ADD COLUMN full_embedding vector,
        ADD CONSTRAINT embeddings_stored_once_check
            CHECK (num_nonnulls(embedding, full_embedding) = 1)
    """,
    # The name without its folders, whole and in words; caption before name before metadata in
    # rank. Signs are named one by one, since what counts as a letter depends on the database's
    # locale. Between the parts lies a gap, so that no quoted phrase begins in one and ends in the
    # next.
    r"""
    CREATE FUNCTION image_words(language regconfig, name text, caption text, metadata jsonb)
    RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT ts_delete(
            setweight(to_tsvector('simple', coalesce(caption, '')), 'A') || gap
            || setweight(to_tsvector(language, coalesce(caption, '')), 'A') || gap
            || setweight(to_tsvector('simple', whole), 'B') || gap
            || setweight(to_tsvector('simple', said), 'B') || gap
            || setweight(to_tsvector(language, said), 'B') || gap
            || setweight(jsonb_to_tsvector('simple', metadata, '["string", "numeric"]'), 'C') || gap
            || setweight(jsonb_to_tsvector(language, metadata, '["string", "numeric"]'), 'C'), ' ')
        FROM regexp_replace(name, '^.*/', '') AS whole,
            translate(whole, '_-./\+,;:()[]', '             ') AS said,
            CAST($gap$' '\:8$gap$ AS tsvector) AS gap
    $$
    """,
    """
    ALTER TABLE images
        ADD COLUMN language regconfig NOT NULL DEFAULT 'english',
        ADD COLUMN words tsvector GENERATED ALWAYS AS
            (image_words(language, coalesce(origin, path), caption, metadata)) STORED
    """,
    "CREATE INDEX images_words_idx ON images USING gin (words)",
    "CREATE INDEX images_present_idx ON images (collection_id, id) WHERE removed_at IS NULL",
    "CREATE INDEX images_collection_id_created_at_idx ON images (collection_id, created_at)",
    "CREATE INDEX images_collection_id_taken_at_idx ON images (collection_id, taken_at)",
    # A date of the metadata, UTC unless it says else, or null: never an error, so that it can be
    # indexed whatever the metadata hold.
    r"""
    CREATE FUNCTION moment(value text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET timezone TO 'UTC' SET datestyle TO 'ISO, YMD' AS $$
    BEGIN
        IF value IS NULL OR value !~ '^\d{4}-\d{2}-\d{2}([T ]\d{2}:|$)' THEN
            RETURN NULL;
        END IF;
        RETURN value::timestamptz;
    EXCEPTION WHEN data_exception THEN
        RETURN NULL;
    END
    $$
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


# Of declared fields, named images_<collection's id>_…: those of dates call moment().
DROP_FIELD_INDEXES = r"""
DO $$
DECLARE
    field_index text;
BEGIN
    FOR field_index IN
        SELECT indexname FROM pg_indexes
        WHERE schemaname = current_schema() AND tablename = 'images'
            AND indexname ~ '^images_[0-9]+_'
    LOOP
        EXECUTE format('DROP INDEX %I', field_index);
    END LOOP;
END
$$
"""


def downgrade() -> None:
    op.execute(DROP_FIELD_INDEXES)
    op.execute(
        "DROP INDEX images_words_idx, images_present_idx, "
        "images_collection_id_created_at_idx, images_collection_id_taken_at_idx"
    )
    op.execute("ALTER TABLE images DROP COLUMN words, DROP COLUMN language")
    op.execute("DROP FUNCTION image_words, moment")
    op.execute("DELETE FROM embeddings WHERE embedding IS NULL")
    op.execute("ALTER TABLE embeddings DROP COLUMN full_embedding")
    op.execute("ALTER TABLE embeddings ALTER COLUMN embedding SET NOT NULL")
    op.execute(
        "ALTER TABLE vector_indexes DROP COLUMN storage, DROP COLUMN ef_search, DROP COLUMN chance"
    )
    op.execute("ALTER TABLE collections DROP COLUMN language, DROP COLUMN fields")
