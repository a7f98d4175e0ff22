"""Ids that users give their pictures, unique in a collection."""

from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute('ALTER TABLE images ADD COLUMN external_id text COLLATE "C"')
    op.execute(
        "CREATE UNIQUE INDEX images_external_id_idx ON images (collection_id, external_id) "
        "WHERE external_id IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN external_id")
