"""Which regions a generation has, where a reindexing names others than those of its collection."""

from alembic import op

revision = "0058"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE vector_indexes ADD COLUMN regions text")


def downgrade() -> None:
    op.execute("ALTER TABLE vector_indexes DROP COLUMN regions")
