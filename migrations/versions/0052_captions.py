"""Captions that a model has written: words of a picture, and a vector of each.

Their words have weight C: below those of captions that people gave and of names, above those read
in the picture. The column is written anew for it, which reads the words of all pictures again.
"""

from alembic import op

revision = "0052"
down_revision = "0050"
branch_labels = None
depends_on = None

BEFORE = (
    "image_words(language, COALESCE(origin, path), caption, metadata) "
    "|| found_words(language, found_text)"
)
GENERATED = "setweight(found_words(language, generated_caption), 'C')"


def _replace(expression: str) -> None:
    """A column's expression can be replaced only by dropping it with its index."""
    op.execute("ALTER TABLE images DROP COLUMN words")
    op.execute(
        f"ALTER TABLE images ADD COLUMN words tsvector GENERATED ALWAYS AS ({expression}) STORED"
    )
    op.execute("CREATE INDEX images_words_idx ON images USING gin (words)")


def upgrade() -> None:
    op.execute("ALTER TABLE image_texts ALTER COLUMN box DROP NOT NULL")
    op.execute("ALTER TABLE image_texts ALTER COLUMN confidence DROP NOT NULL")
    op.execute("ALTER TABLE image_texts ADD COLUMN language text")
    op.execute("""
        CREATE TABLE text_embeddings (
            index_id integer NOT NULL CONSTRAINT text_embeddings_index_id_fkey
                REFERENCES vector_indexes (id) ON DELETE CASCADE,
            image_id bigint NOT NULL,
            annotator text NOT NULL,
            number integer NOT NULL,
            embedding halfvec NOT NULL,
            CONSTRAINT text_embeddings_pkey PRIMARY KEY (index_id, image_id, annotator, number),
            CONSTRAINT text_embeddings_image_id_annotator_number_fkey
                FOREIGN KEY (image_id, annotator, number)
                REFERENCES image_texts (image_id, annotator, number) ON DELETE CASCADE
        )
    """)
    op.execute(
        "CREATE INDEX text_embeddings_image_id_annotator_number_idx ON text_embeddings "
        "(image_id, annotator, number)"
    )
    op.execute("ALTER TABLE images ADD COLUMN generated_caption text")
    _replace(f"{BEFORE} || {GENERATED}")


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE source->>'annotate' = 'caption'")
    op.execute("DELETE FROM collection_annotators WHERE annotator = 'caption'")
    op.execute("DELETE FROM image_annotations WHERE annotator = 'caption'")
    _replace(BEFORE)
    op.execute("ALTER TABLE images DROP COLUMN generated_caption")
    op.execute("DROP TABLE text_embeddings")
    op.execute("ALTER TABLE image_texts DROP COLUMN language")
    op.execute("ALTER TABLE image_texts ALTER COLUMN confidence SET NOT NULL")
    op.execute("ALTER TABLE image_texts ALTER COLUMN box SET NOT NULL")
