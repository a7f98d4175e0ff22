"""Requests that were sent with an Idempotency-Key, and their answers."""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE idempotency_keys (
            digest bytea CONSTRAINT idempotency_keys_pkey PRIMARY KEY,
            request bytea NOT NULL,
            holder uuid NOT NULL,
            held_until timestamptz NOT NULL,
            body bytea,
            status integer,
            headers jsonb,
            answer bytea,
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at)")


def downgrade() -> None:
    op.execute("DROP TABLE idempotency_keys")
