"""Index a folder: `make ingest DIR=…`. A server may run beside it."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from app.errors import StartError
from app.ingest import Report
from app.main import open_services
from app.settings import ROOT, Settings


def main(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="the folder, with all below it")],
    prune: Annotated[bool, typer.Option(help="forget pictures whose file is gone")] = False,
) -> None:
    """Index the pictures of DIR that are new or have changed, and say what was refused."""
    try:
        with open_services(Settings.load()) as services, _bar() as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            report = services.ingest.index_folder(
                (ROOT / folder.expanduser()).resolve(), prune=prune, progress=show
            )
    except StartError as error:
        sys.exit(f"Nothing was indexed. {error}")
    _print(report)
    if report.refused and not report.searchable:
        sys.exit(1)


def _bar() -> "tqdm[None]":
    return tqdm(desc="Indexing", unit=" pictures", file=sys.stdout, mininterval=1)


def _print(report: Report) -> None:
    for refusal in report.refused:
        print(f"Refused: {refusal.path}: {refusal.reason}")
    for path in report.vanished:
        print(f"{'Forgotten' if report.pruned else 'Gone'}: {path}")
    if report.vanished and not report.pruned:
        print("Files that are gone are still in the index; --prune (make: PRUNE=1) forgets them.")
    print(
        f"{report.added} added, {report.changed} changed, {report.moved} moved, "
        f"{report.unchanged} unchanged, {len(report.refused)} refused, "
        f"{len(report.vanished)} gone."
    )


if __name__ == "__main__":
    typer.run(main)
