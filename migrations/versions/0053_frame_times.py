"""When the frames of a video that have vectors are shown, in seconds from its beginning."""

from alembic import op

revision = "0053"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE images ADD COLUMN frame_times jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN frame_times")
