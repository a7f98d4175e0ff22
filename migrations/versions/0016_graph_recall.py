"""How well an index's graph answers the queries that it answers worst; vectors stay in their rows.

What partitions hold already moves there when their graph is rebuilt.
"""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

PARTITIONS = """
DO $$ DECLARE partition regclass; BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits
        WHERE inhparent = 'embeddings'::regclass
    LOOP EXECUTE format('ALTER TABLE %s {0}', partition); END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE vector_indexes ADD COLUMN graph_recall double precision")
    op.execute(PARTITIONS.format("SET (toast_tuple_target = 8160)"))


def downgrade() -> None:
    op.execute(PARTITIONS.format("RESET (toast_tuple_target)"))
    op.execute("ALTER TABLE vector_indexes DROP COLUMN graph_recall")
