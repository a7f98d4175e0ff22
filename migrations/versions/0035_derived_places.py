"""Names of places, from the positions in an archive's sidecars, pass through a job's items."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job_items ADD COLUMN derived_place jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE job_items DROP COLUMN derived_place")
