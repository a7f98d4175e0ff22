"""A hot standby of the embedded Postgres: `make replica DIR=…`, see docs/scaling.md."""

import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url

from app.database.embedded.embedded_postgres import embedded_server, running_server
from app.database.embedded.standby import copy_server, is_standby
from app.errors import DatabaseUnusable
from app.settings import Settings
from scripts.command_line import run_command, sentences

FOLDER = typer.Option("--dir", help="folder of its own for the standby's data")


def main(folder: Annotated[Path, FOLDER]) -> None:
    """Copy the embedded Postgres into an empty folder, and run the copy, which follows it."""
    with sentences("No standby"):
        settings = Settings.load()
        if settings.database_url:
            sys.exit("DATABASE_URL is set: make a standby with pg_basebackup (docs/scaling.md).")
        folder = folder.expanduser().resolve()
        if not is_standby(folder):
            primary = running_server(settings.postgres_dir)
            if primary is None:
                raise DatabaseUnusable(
                    f"No server runs on {settings.postgres_dir}, and the copy is made from a "
                    "running one: start it first."
                )
            copy_server(primary, folder)
        with embedded_server(folder) as server:
            url = make_url(server).set(database=settings.database_name)
            shown = url.render_as_string(hide_password=False)
            print(f"Following: IMAGE_SEARCH_READ_DATABASE_URL={shown}", flush=True)
            _wait_for_signal()
    print("Stopped.", flush=True)


def _wait_for_signal() -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stop.set())
    while not stop.wait(1):  # signals are handled between two waits
        pass


if __name__ == "__main__":
    run_command(main)
