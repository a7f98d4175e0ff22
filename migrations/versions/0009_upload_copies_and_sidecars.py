"""A picture of a folder that was uploaded too keeps its copy; what a sidecar said is recorded."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE images ADD COLUMN upload_copy text")
    op.execute("ALTER TABLE images ADD COLUMN sidecar jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN sidecar")
    op.execute("ALTER TABLE images DROP COLUMN upload_copy")
