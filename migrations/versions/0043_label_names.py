"""Names of a set's labels beside its definition: filters are checked with every search."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

NAMES = """
ALTER TABLE label_sets ADD COLUMN label_names jsonb NOT NULL
    GENERATED ALWAYS AS (jsonb_path_query_array(definition, '$."labels"[*]."name"')) STORED
"""


def upgrade() -> None:
    op.execute(NAMES)


def downgrade() -> None:
    op.execute("ALTER TABLE label_sets DROP COLUMN label_names")
