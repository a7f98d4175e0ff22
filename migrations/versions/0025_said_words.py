"""What people said of pictures is recorded as such, and no longer told by what no file says.

An exported sidecar says the same as people did: once it was read, their words counted as its own,
and went or changed with it. Of rows of before, what neither the file nor the sidecars say is taken
for people's words, without what 0014 did not record: `camera` and `gps`.
"""

from alembic import op

revision = "0025"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE images ADD COLUMN said_caption text, "
        "ADD COLUMN said_metadata jsonb NOT NULL DEFAULT '{}'::jsonb"
    )
    read = " || ".join(
        f"ARRAY(SELECT one.key FROM jsonb_each({column}->'metadata') AS one "  # noqa: S608
        "WHERE metadata->one.key = one.value)"
        for column in ("sidecar", "embedded")
    )
    op.execute(
        "UPDATE images SET said_metadata = metadata - "  # noqa: S608
        f"({read} || CASE WHEN embedded IS NULL THEN '{{camera,gps}}' ELSE '{{}}'::text[] END), "
        "said_caption = CASE WHEN caption IS DISTINCT FROM sidecar->>'caption' "
        "AND caption IS DISTINCT FROM embedded->>'caption' THEN caption END "
        "WHERE caption IS NOT NULL OR metadata <> '{}'::jsonb"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE images DROP COLUMN said_metadata, DROP COLUMN said_caption")
