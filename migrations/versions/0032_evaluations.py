"""What evaluations by golden queries found, each with the job that made it."""

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE evaluations (
            job_id bigint NOT NULL CONSTRAINT evaluations_pkey PRIMARY KEY
                CONSTRAINT evaluations_job_id_fkey REFERENCES jobs (id) ON DELETE CASCADE,
            result jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE evaluations")
