"""When the newest backup was made."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE installation ADD COLUMN backed_up_at timestamp with time zone")


def downgrade() -> None:
    op.execute("ALTER TABLE installation DROP COLUMN backed_up_at")
