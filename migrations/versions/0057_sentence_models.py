"""Sentence models: which a collection names, and their vectors of its captions."""

from alembic import op

revision = "0057"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE collections ADD COLUMN sentence_model text")
    op.execute("""
        CREATE TABLE sentence_embeddings (
            image_id bigint NOT NULL,
            annotator text NOT NULL,
            number integer NOT NULL,
            fingerprint text NOT NULL,
            embedding halfvec NOT NULL,
            CONSTRAINT sentence_embeddings_pkey PRIMARY KEY (image_id, annotator, number),
            CONSTRAINT sentence_embeddings_image_id_annotator_number_fkey
                FOREIGN KEY (image_id, annotator, number)
                REFERENCES image_texts (image_id, annotator, number) ON DELETE CASCADE
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE sentence_embeddings")
    op.execute("ALTER TABLE collections DROP COLUMN sentence_model")
