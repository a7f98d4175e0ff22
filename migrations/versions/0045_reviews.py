"""Reviews: pictures that gates have hidden, until somebody decides on them."""

from alembic import op

revision = "0045"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE reviews (
            image_id bigint CONSTRAINT reviews_pkey PRIMARY KEY
                CONSTRAINT reviews_image_id_fkey REFERENCES images (id) ON DELETE CASCADE,
            set_name text NOT NULL,
            label text NOT NULL,
            probability real NOT NULL,
            external_id text,
            approved_at timestamptz,
            created_at timestamptz NOT NULL DEFAULT now()
        )
    """)


def downgrade() -> None:
    # Held pictures would be restorable for ever: they are deleted, as if nobody had approved them.
    op.execute("UPDATE images SET removed_at = now() WHERE removed_at = 'infinity'")
    op.execute("DROP TABLE reviews")
