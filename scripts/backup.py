"""Back up the service while it runs, and restore it in an empty place: `make backup`, `restore`."""

from typing import Annotated

import typer

from app.runtime.backup.backups import find_backup
from app.runtime.backup.making import make_backup
from app.runtime.backup.manifest import SETTINGS, Manifest
from app.runtime.backup.places import open_place
from app.runtime.backup.restoring import restore as restore_backup
from scripts.command_line import open_settings, run_command, sentences

commands = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Place = Annotated[
    str, typer.Argument(help="a folder of backups, or s3://bucket/prefix", metavar="FOLDER")
]


@commands.command()
def make(
    folder: Place,
    keep: Annotated[
        int | None, typer.Option(min=1, help="how many backups to keep; older ones are deleted")
    ] = None,
    verify: Annotated[bool, typer.Option(help="restore it elsewhere, and compare")] = False,
) -> None:
    """Add a backup of the database, the uploads and the settings to a folder."""
    with sentences("Not backed up"):
        settings = open_settings()
        place = open_place(settings, folder)
        manifest = make_backup(settings, place, keep, is_verified=verify)
    print(f"{place}/{manifest.stamp}: {_contents(manifest)}.")
    if not manifest.pictures:
        print("This database holds no pictures yet, so the backup holds none.")
    if verify:
        print("Restored in a temporary place: all tables, files and sampled searches are the same.")


@commands.command()
def restore(
    folder: Place,
    backup: Annotated[str | None, typer.Option(help="its name; else the newest")] = None,
) -> None:
    """Fill the empty database and UPLOAD_DIR of the settings from a backup."""
    with sentences("Not restored"):
        settings = open_settings()
        manifest = restore_backup(settings, find_backup(open_place(settings, folder), backup))
    print(f"Restored {_contents(manifest)}, as of {manifest.made_at:%Y-%m-%d %H:%M} UTC.")
    models = sorted({f"{one.model} {one.pretrained}".strip() for one in manifest.indexes})
    print(f"The vectors are of {', '.join(models)}: start with the same models.")
    print(f"Settings are as they were: those of the backup, with secrets, are in its {SETTINGS}.")


def _contents(manifest: Manifest) -> str:
    return f"{manifest.pictures} pictures, {manifest.files} uploaded files"


if __name__ == "__main__":
    run_command(commands)
