"""Bring the database's schema up to date: `make migrate`."""

import sys

from app.database import connections
from app.errors import StartError
from app.runtime.backing_services import database
from app.runtime.shutdown import unwind_on_signals
from app.settings import Settings


def main() -> None:
    """Migrate the configured database."""
    unwind_on_signals()
    try:
        with database(Settings.load()) as url:
            engine = connections.open_engine(url)
            connections.migrate(engine)
            engine.dispose()
    except StartError as error:
        sys.exit(str(error))
    print("The database's schema is up to date.")


if __name__ == "__main__":
    main()
