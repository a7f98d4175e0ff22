"""Why an index has its ef_search: chosen by whom, for which recall, at how many vectors."""

from alembic import op

revision = "0059"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE vector_indexes ADD COLUMN tuning jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE vector_indexes DROP COLUMN tuning")
