"""Move the embedded Postgres's data to the installed major version: `make upgrade-database`."""

import sys

from app.database.embedded.major_upgrade import upgrade
from app.database.embedded.postgres_programs import VERSION
from app.settings import Settings
from scripts.command_line import run_command, sentences

CONFIGURED = "postgresql.conf, postgresql.auto.conf (by ALTER SYSTEM) and pg_hba.conf"


def main() -> None:
    """Upgrade POSTGRES_DIR."""
    with sentences("Not upgraded"):
        settings = Settings.load()
        if settings.database_url:
            sys.exit("DATABASE_URL is set: that Postgres is upgraded by its own tools.")
        kept = upgrade(settings.postgres_dir)
    if kept is None:
        print(f"{settings.postgres_dir} belongs to Postgres {VERSION} already.")
    else:
        print(f"{settings.postgres_dir} belongs to Postgres {VERSION} now.")
        print(f"The old data is in {kept}: delete it once all is well.")
        print(f"What you have changed in its {CONFIGURED} is not taken over:")
        print(f"copy it to the files in {settings.postgres_dir}, and restart.")


if __name__ == "__main__":
    run_command(main)
