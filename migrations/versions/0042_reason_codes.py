"""Codes of the reasons why files and jobs were refused, by which pages translate them."""

from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN code text, ADD COLUMN waiting_code text")
    op.execute("ALTER TABLE job_items ADD COLUMN code text")
    op.execute("ALTER TABLE skipped_files ADD COLUMN code text")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN code, DROP COLUMN waiting_code")
    op.execute("ALTER TABLE job_items DROP COLUMN code")
    op.execute("ALTER TABLE skipped_files DROP COLUMN code")
