"""Move the embedded Postgres's data to the installed major version: `make upgrade-database`."""

import sys

from app.database.embedded.major_upgrade import upgrade
from app.database.embedded.postgres_programs import VERSION
from app.errors import StartError
from app.runtime.shutdown import unwind_on_signals
from app.settings import Settings


def main() -> None:
    """Upgrade POSTGRES_DIR."""
    unwind_on_signals()
    try:
        settings = Settings.load()
        if settings.database_url:
            sys.exit("DATABASE_URL is set: that Postgres is upgraded by its own tools.")
        kept = upgrade(settings.postgres_dir)
    except StartError as error:
        sys.exit(str(error))
    if kept is None:
        print(f"{settings.postgres_dir} belongs to Postgres {VERSION} already.")
    else:
        print(f"{settings.postgres_dir} belongs to Postgres {VERSION} now.")
        print(f"The old data are in {kept}: delete them once all is well. Settings that you have")
        print("added to postgresql.conf there are not taken over.")


if __name__ == "__main__":
    main()
