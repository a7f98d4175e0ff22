"""Which pages of documents and animations a collection indexes: the first, or all."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE collections ADD COLUMN pages text NOT NULL DEFAULT 'first'")


def downgrade() -> None:
    op.execute("DELETE FROM embeddings WHERE region > 0")
    op.execute("ALTER TABLE collections DROP COLUMN pages")
