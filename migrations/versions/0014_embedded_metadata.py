"""What pictures' files say of them is recorded beside what their sidecars say.

Rows of before keep null, and are read once more when their file or a sidecar changes.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE images ADD COLUMN embedded jsonb")
    op.execute("ALTER TABLE job_items ADD COLUMN sidecars jsonb, ADD COLUMN taken jsonb")
    for name in ("tags", "people"):
        op.execute(
            f"CREATE INDEX images_{name}_idx ON images "
            f"USING gin ((metadata -> '{name}') jsonb_path_ops)"
        )


def downgrade() -> None:
    op.execute("DROP INDEX images_people_idx, images_tags_idx")
    op.execute("ALTER TABLE job_items DROP COLUMN taken, DROP COLUMN sidecars")
    op.execute("ALTER TABLE images DROP COLUMN embedded")
