"""The database has an identity, and knows the upload stores that belong to it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE installation (
        id smallint DEFAULT 1 NOT NULL CONSTRAINT installation_pkey PRIMARY KEY
            CONSTRAINT installation_one_row_check CHECK (id = 1),
        identity text NOT NULL,
        secret text,
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "INSERT INTO installation (identity) VALUES (replace(gen_random_uuid()::text, '-', ''))",
    """
    CREATE TABLE stores (
        identity text NOT NULL CONSTRAINT stores_pkey PRIMARY KEY,
        folder text COLLATE "C" NOT NULL,
        opened_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # store://<identity>/7d/7d8e.jpg as the path that people know: below the store's folder.
    """
    CREATE FUNCTION shown_path(path text) RETURNS text
        LANGUAGE sql STABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN starts_with(path, 'store://') THEN coalesce(
            (SELECT folder || substr(path, 41) FROM stores WHERE identity = substr(path, 9, 32)),
            path
        ) ELSE path END
    $$
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("UPDATE images SET path = shown_path(path) WHERE starts_with(path, 'store://')")
    op.execute("DROP FUNCTION shown_path(text)")
    op.execute("DROP TABLE stores, installation")
