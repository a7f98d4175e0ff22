"""All commands of `picture-search`; those of the Makefile run the same functions."""

from typing import Annotated

import typer

from app import VERSION, main
from app.command_names import NAME
from scripts import (
    backup,
    compare_models,
    datasets,
    doctor,
    golden,
    ingest,
    keys,
    mcp_server,
    migrate,
    models,
    openapi,
    pull_model,
    reindex,
    replica,
    search,
    transfer,
    upgrade_database,
    upload,
    worker,
)

HELP = "Find your pictures by describing them, or by showing a similar one."

# A traceback with local variables would reveal a key.
commands = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(f"{NAME} {VERSION}")
        raise typer.Exit


@commands.callback(help=HELP)
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


commands.command("serve", help="Index IMAGE_SEARCH_IMAGES_DIR and serve; TESTING=1: the demo.")(
    main.main
)
commands.command("search")(search.search)
commands.command("similar")(search.similar)
commands.command("upload")(upload.main)
commands.command("ingest")(ingest.main)
commands.command("sync")(ingest.sync)
commands.add_typer(transfer.imports, name="import")
commands.add_typer(transfer.exports, name="export")
transfer.imports.command("dataset")(datasets.import_)
transfer.imports.command("clip-retrieval")(datasets.clip_retrieval)
transfer.exports.command("dataset")(datasets.export)
commands.command("worker")(worker.main)
commands.command("mcp")(mcp_server.main)
commands.command("replica")(replica.main)
commands.command("doctor")(doctor.main)
commands.command("backup")(backup.make)
commands.command("restore")(backup.restore)
commands.command("migrate")(migrate.main)
commands.command("upgrade-database")(upgrade_database.main)
commands.command("reindex")(reindex.main)
commands.add_typer(models.commands, name="models")
models.commands.command("pull")(pull_model.main)
models.commands.command("compare")(compare_models.main)
commands.add_typer(keys.commands, name="keys", help="API keys: create, list and revoke.")
commands.add_typer(golden.commands, name="golden")
commands.command("openapi")(openapi.main)
