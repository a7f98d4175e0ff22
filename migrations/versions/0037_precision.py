"""What the pictures of an index were computed in: float, or int8; older rows do not say."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE vector_indexes ADD COLUMN precision text")
    op.execute(
        "ALTER TABLE vector_indexes ADD CONSTRAINT vector_indexes_precision_check "
        "CHECK (precision IN ('float', 'int8'))"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE vector_indexes DROP COLUMN precision")
