"""Jobs count the names that they pass over, and the companions of pictures."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

COUNT = "integer DEFAULT 0 NOT NULL"


def upgrade() -> None:
    op.execute(f"ALTER TABLE jobs ADD COLUMN ignored {COUNT}, ADD COLUMN companions {COUNT}")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN companions, DROP COLUMN ignored")
