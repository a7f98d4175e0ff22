"""Generations: the job that made one, how good its graph is, and when another took its place."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


STATES = """
ALTER TABLE vector_indexes DROP CONSTRAINT vector_indexes_state_check;
ALTER TABLE vector_indexes ADD CONSTRAINT vector_indexes_state_check CHECK (state IN ({0}))
"""


def upgrade() -> None:
    op.execute(STATES.format("'building', 'ready', 'active', 'retired'"))
    op.execute("ALTER TABLE vector_indexes ADD COLUMN job_id bigint")
    op.execute(
        "ALTER TABLE vector_indexes ADD CONSTRAINT vector_indexes_job_id_fkey "
        "FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE SET NULL"
    )
    op.execute("ALTER TABLE vector_indexes ADD COLUMN measured jsonb")
    op.execute("ALTER TABLE vector_indexes ADD COLUMN retired_at timestamptz")
    op.execute(
        "CREATE UNIQUE INDEX vector_indexes_one_growing_idx ON vector_indexes (collection_id) "
        "WHERE state IN ('building', 'ready')"
    )


def downgrade() -> None:
    op.execute("DROP INDEX vector_indexes_one_growing_idx")
    op.execute("UPDATE vector_indexes SET state = 'retired' WHERE state = 'ready'")
    op.execute(STATES.format("'building', 'active', 'retired'"))
    op.execute("ALTER TABLE vector_indexes DROP COLUMN retired_at")
    op.execute("ALTER TABLE vector_indexes DROP COLUMN measured")
    op.execute("ALTER TABLE vector_indexes DROP COLUMN job_id")
