"""An index of the names of files, for suggestions as one types."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX images_file_name_idx ON images (collection_id, "
        "\"left\"(lower(regexp_replace(COALESCE(origin, path), '^.*/', '')), 100) COLLATE \"C\") "
        "WHERE removed_at IS NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX images_file_name_idx")
