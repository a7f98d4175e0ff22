"""Back up the service while it runs, and restore it in an empty place: `make backup`, `restore`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from app.errors import ImageSearchError
from app.runtime.backup.making import make_backup
from app.runtime.backup.manifest import Manifest, find_backup
from app.runtime.backup.restoring import restore as restore_backup
from app.runtime.shutdown import unwind_on_signals
from app.settings import Settings

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Folder = Annotated[Path, typer.Argument(help="a folder of backups")]


@commands.command()
def make(
    folder: Folder,
    keep: Annotated[int | None, typer.Option(min=1, help="delete all but so many")] = None,
    verify: Annotated[bool, typer.Option(help="restore it elsewhere, and compare")] = False,
) -> None:
    """Add a backup of the database, the uploads and the settings to a folder."""
    with _ending("Not backed up"):
        manifest = make_backup(Settings.load(), _absolute(folder), keep, is_verified=verify)
    print(f"{_absolute(folder) / manifest.stamp}: {_contents(manifest)}.")
    if verify:
        print("Restored in a temporary place: all tables, files and sampled searches are the same.")


@commands.command()
def restore(
    folder: Folder,
    backup: Annotated[str | None, typer.Option(help="its name; else the newest")] = None,
) -> None:
    """Fill the empty database and UPLOAD_DIR of the settings from a backup."""
    with _ending("Not restored"):
        settings = Settings.load()
        manifest = restore_backup(settings, find_backup(_absolute(folder), backup))
    print(f"Restored {_contents(manifest)}, as of {manifest.made_at:%Y-%m-%d %H:%M} UTC.")
    models = sorted({f"{one.model} {one.pretrained}".strip() for one in manifest.indexes})
    print(f"The vectors are of {', '.join(models)}: start with the same models.")


def _contents(manifest: Manifest) -> str:
    return f"{manifest.pictures} pictures, {manifest.files} uploaded files"


def _absolute(folder: Path) -> Path:
    return folder.expanduser().absolute()


@contextmanager
def _ending(what: str) -> Iterator[None]:
    """Ends the command with a sentence instead of a traceback."""
    unwind_on_signals()
    try:
        yield
    except ImageSearchError as error:
        sys.exit(f"{what}: {error}")
    except DBAPIError as error:
        sys.exit(f"{what}: the database failed: {error.orig}")


if __name__ == "__main__":
    commands()
