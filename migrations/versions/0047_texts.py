"""Annotators of collections, what they have read, and the words found in pictures.

Words in a picture are words of it, of weight D: below those of metadata, captions and names. The
column is written anew for it, which reads the words of all pictures again.
"""

from importlib import import_module

from alembic import op

revision = "0047"
down_revision = "0043"
branch_labels = None
depends_on = None

words = import_module("migrations.versions.0010_words_in_names_and_runs")

ABOUT = "image_words(language, COALESCE(origin, path), caption, metadata)"


def _function(readable: str) -> str:
    """The words of a text in a picture, as `image_words` splits a caption; weight D by default.

    The gap keeps a phrase from beginning in the metadata and ending in the picture.
    """
    return rf"""
    CREATE FUNCTION found_words(language text, found text)
    RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT ts_delete(
            gap || to_tsvector('simple', told) || gap
            || to_tsvector(language::regconfig, told) || gap
            || to_tsvector('simple',
                CASE WHEN told ~ {words.TOUCHING} THEN {words.APART.format("told")} ELSE '' END),
            ' ')
        FROM coalesce({readable.format("found")}, '') AS told,
            CAST($gap$' '\:8$gap$ AS tsvector) AS gap
    $$
    """  # noqa: S608  # of constants


def _replace(expression: str) -> None:
    """A column's expression can be replaced only by dropping it with its index."""
    op.execute("ALTER TABLE images DROP COLUMN words")
    op.execute(
        f"ALTER TABLE images ADD COLUMN words tsvector GENERATED ALWAYS AS ({expression}) STORED"
    )
    op.execute("CREATE INDEX images_words_idx ON images USING gin (words)")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE collection_annotators (
            collection_id integer NOT NULL CONSTRAINT collection_annotators_collection_id_fkey
                REFERENCES collections (id) ON DELETE CASCADE,
            annotator text NOT NULL,
            job_id bigint CONSTRAINT collection_annotators_job_id_fkey
                REFERENCES jobs (id) ON DELETE SET NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT collection_annotators_pkey PRIMARY KEY (collection_id, annotator)
        )
    """)
    op.execute("""
        CREATE TABLE image_annotations (
            image_id bigint NOT NULL CONSTRAINT image_annotations_image_id_fkey
                REFERENCES images (id) ON DELETE CASCADE,
            annotator text NOT NULL,
            state text NOT NULL,
            version text,
            content_hash bytea,
            reason text,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT image_annotations_pkey PRIMARY KEY (image_id, annotator)
        )
    """)
    op.execute(
        "CREATE INDEX image_annotations_waiting_idx ON image_annotations (annotator, image_id) "
        "WHERE state = 'waiting'"
    )
    op.execute("""
        CREATE TABLE image_texts (
            image_id bigint NOT NULL,
            annotator text NOT NULL,
            number integer NOT NULL,
            text text NOT NULL,
            box real[] NOT NULL,
            confidence real NOT NULL,
            CONSTRAINT image_texts_pkey PRIMARY KEY (image_id, annotator, number),
            CONSTRAINT image_texts_image_id_annotator_fkey FOREIGN KEY (image_id, annotator)
                REFERENCES image_annotations (image_id, annotator) ON DELETE CASCADE
        )
    """)
    encoding = op.get_bind().exec_driver_sql("SELECT getdatabaseencoding()").scalar_one()
    is_unicode = encoding == "UTF8"
    op.execute(_function(words.SPACED.format(words.COMPOSED) if is_unicode else "{}"))
    op.execute("ALTER TABLE images ADD COLUMN found_text text")
    _replace(f"{ABOUT} || found_words(language, found_text)")


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE source ? 'annotate'")
    _replace(ABOUT)
    op.execute("ALTER TABLE images DROP COLUMN found_text")
    op.execute("DROP FUNCTION found_words")
    op.execute("DROP TABLE image_texts")
    op.execute("DROP TABLE image_annotations")
    op.execute("DROP TABLE collection_annotators")
