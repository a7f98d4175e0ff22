"""Files that a source's next listing skips: deleted here by a person, or refused as they are."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE skipped_files (
        collection_id integer NOT NULL CONSTRAINT skipped_files_collection_id_fkey
            REFERENCES collections (id) ON DELETE CASCADE,
        path text COLLATE "C" NOT NULL,
        etag text NOT NULL,
        content_hash bytea,
        reason text,
        rules text,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT skipped_files_pkey PRIMARY KEY (collection_id, path)
    )
    """,
    """
    CREATE INDEX skipped_files_collection_id_content_hash_idx
        ON skipped_files (collection_id, content_hash)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE skipped_files")
