"""Words inside runs: of scripts without spaces, of letters beside digits, of decomposed letters."""

from importlib import import_module

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Each character of these scripts becomes a word; a query for several is a phrase of them. Kana,
# Han and Hangul; app/search/word_splitting.py has the same for queries.
UNSPACED = (
    r"\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    r"\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003134f"
)
SIGNS = r"_-./\+,;:()[]#"

# `whole` and `said` are as in 0005, the name with its signs and without. What is new: all text is
# composed (NFC), unspaced scripts are spaced, and numbers are words apart from what they touch, in
# the name, in a caption, and, without positions, in the metadata. It calls Postgres's own functions
# alone: a restored dump computes the column before others are found.
COMPOSED = "normalize({})"
SPACED = rf"regexp_replace({{}}, '([{UNSPACED}])', ' \1 ', 'g')"
APART = (
    rf"regexp_replace(regexp_replace(translate({{}}, '{SIGNS}', '{' ' * len(SIGNS)}'), "
    r"'([^0-9 ])([0-9])', '\1 \2', 'g'), '([0-9])([^0-9 ])', '\1 \2', 'g')"
)
TOUCHING = r"'[0-9][^0-9\s]|[^0-9\s][0-9]'"


def _function(readable: str) -> str:
    """The function, given how text is made readable."""
    name = readable.format(r"regexp_replace(name, '^.*/', '')")
    return rf"""
    CREATE FUNCTION image_words(language text, name text, caption text, metadata jsonb)
    RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT ts_delete(
            setweight(to_tsvector('simple', told), 'A') || gap
            || setweight(to_tsvector(language::regconfig, told), 'A') || gap
            || setweight(to_tsvector('simple',
                CASE WHEN told ~ {TOUCHING} THEN {APART.format("told")} ELSE '' END), 'A') || gap
            || setweight(to_tsvector('simple', whole), 'B') || gap
            || setweight(to_tsvector('simple', said), 'B') || gap
            || setweight(to_tsvector(language::regconfig, said), 'B') || gap
            || setweight(jsonb_to_tsvector('simple', known, '["string", "numeric"]'), 'C') || gap
            || setweight(
                jsonb_to_tsvector(language::regconfig, known, '["string", "numeric"]'), 'C')
            || strip(to_tsvector('simple', (
                SELECT coalesce(string_agg({APART.format("value #>> '{}'")}, ' '), '')
                FROM jsonb_path_query(known, 'strict $.**') AS value
                WHERE jsonb_typeof(value) = 'string' AND value #>> '{{}}' ~ {TOUCHING}))),
            ' ')
        FROM coalesce({readable.format("caption")}, '') AS told,
            coalesce({name}, '') AS whole,
            coalesce({APART.format("whole")}, '') AS said,
            CAST({readable.format("metadata::text")} AS jsonb) AS known,
            CAST($gap$' '\:8$gap$ AS tsvector) AS gap
    $$
    """  # noqa: S608  # of the constants above


def _replace(function: str) -> None:
    """A column's expression can be replaced only by dropping it with its index."""
    for statement in (
        "ALTER TABLE images DROP COLUMN words",
        "DROP FUNCTION image_words",
        function,
        """
        ALTER TABLE images ADD COLUMN words tsvector GENERATED ALWAYS AS
            (image_words(language, coalesce(origin, path), caption, metadata)) STORED
        """,
        "CREATE INDEX images_words_idx ON images USING gin (words)",
    ):
        op.execute(statement)


def upgrade() -> None:
    encoding = op.get_bind().exec_driver_sql("SELECT getdatabaseencoding()").scalar_one()
    is_unicode = encoding == "UTF8"  # others have neither these scripts nor normalize()
    _replace(_function(SPACED.format(COMPOSED) if is_unicode else "{}"))


def downgrade() -> None:
    _replace(
        import_module("migrations.versions.0005_language_as_text").image_words_function("text")
    )
