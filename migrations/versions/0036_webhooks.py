"""Where to report the end of a job, and what became of the report."""

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE jobs
            ADD COLUMN webhook_url text,
            ADD COLUMN webhook_id text,
            ADD COLUMN webhook_status text NOT NULL DEFAULT 'waiting'
                CONSTRAINT jobs_webhook_status_check
                CHECK (webhook_status IN ('waiting', 'pending', 'delivered', 'failed')),
            ADD COLUMN webhook_attempts integer NOT NULL DEFAULT 0,
            ADD COLUMN webhook_reason text
    """)


def downgrade() -> None:
    op.execute("DELETE FROM procrastinate_jobs WHERE task_name = 'webhook'")
    op.execute("""
        ALTER TABLE jobs
            DROP COLUMN webhook_url,
            DROP COLUMN webhook_id,
            DROP COLUMN webhook_status,
            DROP COLUMN webhook_attempts,
            DROP COLUMN webhook_reason
    """)
