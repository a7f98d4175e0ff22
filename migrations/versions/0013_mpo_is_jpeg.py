"""A JPEG with a second picture is a JPEG: its format was Pillow's name, MPO."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE images SET format = 'JPEG' WHERE format = 'MPO'")


def downgrade() -> None:
    """Which of them had a second picture is not known any more."""
