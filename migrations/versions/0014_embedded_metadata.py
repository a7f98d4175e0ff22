"""What pictures' files say of them is recorded beside what their sidecars say.

Rows of before keep null, and are read once more when their file or a sidecar changes. Where the
JSON of Google Takeout was taken for our own sidecar, it is read again by the next job on its
folder, and its positions go: KEEP_GPS did not hold for them.
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
    op.execute(
        "UPDATE images SET sidecar = NULL, etag = '', metadata = metadata - "
        "ARRAY(SELECT jsonb_object_keys(sidecar->'metadata')) "
        "WHERE sidecar->'metadata'->'photoTakenTime' IS NOT NULL"
    )
    for table in ("images", "job_items"):
        op.execute(
            f"UPDATE {table} SET metadata = metadata - ARRAY['geoData', 'geoDataExif'] "  # noqa: S608
            "WHERE metadata ?& ARRAY['geoData', 'photoTakenTime']"
        )


def downgrade() -> None:
    op.execute("DROP INDEX images_people_idx, images_tags_idx")
    op.execute("ALTER TABLE job_items DROP COLUMN taken, DROP COLUMN sidecars")
    op.execute("ALTER TABLE images DROP COLUMN embedded")
