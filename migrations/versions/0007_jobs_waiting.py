"""A job says why it waits: a disk that is full, say."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN waiting text")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN waiting")
