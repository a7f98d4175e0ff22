"""Each vector names the transaction that wrote it, for processes that hold codes of them."""

from alembic import op

revision = "0041"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A constant first: so no row is written anew.
    op.execute("ALTER TABLE embeddings ADD COLUMN changed xid8 NOT NULL DEFAULT '0'")
    op.execute("ALTER TABLE embeddings ALTER COLUMN changed SET DEFAULT pg_current_xact_id()")
    op.execute("CREATE INDEX embeddings_changed_idx ON embeddings (changed)")


def downgrade() -> None:
    op.execute("ALTER TABLE embeddings DROP COLUMN changed")
