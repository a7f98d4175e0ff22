"""How many vectors an index had when its graph was last built in shuffled order."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE vector_indexes ADD COLUMN graph_vectors integer")


def downgrade() -> None:
    op.execute("ALTER TABLE vector_indexes DROP COLUMN graph_vectors")
