"""When pictures were taken, by the clock of the place; rows of before have UTC's.

Their column stays null, since an update of each row would read all words again.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE images ADD COLUMN taken_local timestamp")
    op.execute(
        "CREATE INDEX images_taken_local_idx ON images "
        "(collection_id, COALESCE(taken_local, timezone('UTC', taken_at)))"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN taken_local")
