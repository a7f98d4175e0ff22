"""`images.language` as text: pg_upgrade refuses every database with a column of type regconfig."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


# A column's expression can be replaced only by dropping it with its index. The table is rewritten
# once.
def _replace(column_type: str, parameter_type: str) -> tuple[str, ...]:
    return (
        "ALTER TABLE images DROP COLUMN words",
        f"ALTER TABLE images ALTER COLUMN language DROP DEFAULT, "
        f"ALTER COLUMN language TYPE {column_type} USING language::{column_type}, "
        f"ALTER COLUMN language SET DEFAULT 'english'::{column_type}",
        "DROP FUNCTION image_words",
        image_words_function(parameter_type),
        """
        ALTER TABLE images ADD COLUMN words tsvector GENERATED ALWAYS AS
            (image_words(language, coalesce(origin, path), caption, metadata)) STORED
        """,
        "CREATE INDEX images_words_idx ON images USING gin (words)",
    )


# As in 0003, apart from the type of `language` and its cast. The cast is stable by Postgres's
# rules, since a configuration may be renamed; those of a collection are Postgres's own, which are
# not.
def image_words_function(parameter_type: str) -> str:
    return rf"""
    CREATE FUNCTION image_words(
        language {parameter_type}, name text, caption text, metadata jsonb
    )
    RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT ts_delete(
            setweight(to_tsvector('simple', coalesce(caption, '')), 'A') || gap
            || setweight(to_tsvector(language::regconfig, coalesce(caption, '')), 'A') || gap
            || setweight(to_tsvector('simple', whole), 'B') || gap
            || setweight(to_tsvector('simple', said), 'B') || gap
            || setweight(to_tsvector(language::regconfig, said), 'B') || gap
            || setweight(jsonb_to_tsvector('simple', metadata, '["string", "numeric"]'), 'C') || gap
            || setweight(
                jsonb_to_tsvector(language::regconfig, metadata, '["string", "numeric"]'), 'C'),
            ' ')
        FROM regexp_replace(name, '^.*/', '') AS whole,
            translate(whole, '_-./\+,;:()[]', '             ') AS said,
            CAST($gap$' '\:8$gap$ AS tsvector) AS gap
    $$
    """  # noqa: S608  # the two types are above


def upgrade() -> None:
    for statement in _replace("text", "text"):
        op.execute(statement)


def downgrade() -> None:
    for statement in _replace("regconfig", "regconfig"):
        op.execute(statement)
