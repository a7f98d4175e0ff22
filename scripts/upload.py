"""Upload pictures: `picture-search upload`."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.parse import quote

import typer
from tqdm import tqdm

from app.catalog.collections import DEFAULT_NAME, DEFAULT_NAMESPACE
from app.ingest.upload_stages import Upload
from app.runtime.assembly import open_services
from app.settings import Settings
from app.web.payloads.field_types import printable
from app.web.payloads.flat import UploadResult
from scripts import server_requests
from scripts.command_line import open_settings, sentences

TIMEOUT_SECONDS = 300  # for one file
REFUSALS = {413, 415, 422}  # of a file, whose outcome the problem names

Send = Callable[[str, bytes], dict[str, Any]]
"""Stores one file, given its name and its bytes; returns what became of it."""


def main(
    files: Annotated[list[Path], typer.Argument(help="picture files", exists=True, dir_okay=False)],
    collection: Annotated[
        str, typer.Option(help="the collection that they are added to")
    ] = DEFAULT_NAME,
    as_json: Annotated[bool, typer.Option("--json", help="print the outcomes as JSON")] = False,
) -> None:
    """Store copies of pictures and make them searchable at once; the status is 1 if any is refused.

    The running server does it, or this process if there is none.
    """
    with sentences("Not uploaded"):
        address = Settings.load().address
        is_serving = server_requests.is_serving(address)
        with _to(address, collection) if is_serving else _here(collection) as send:
            shown = tqdm(files, unit=" files", disable=None, leave=False)
            outcomes = [send(path.name, path.read_bytes()) for path in shown]
    if as_json:
        print(json.dumps(outcomes, indent=2, ensure_ascii=False))
    else:
        for one in outcomes:
            reason = f": {one['reason']}" if one["reason"] else ""
            print(f"{one['status']:9} {one['id'] or '':>8}  {one['filename']}{reason}")
    if any(one["id"] is None for one in outcomes):
        sys.exit(1)


@contextmanager
def _to(address: str, collection: str) -> Iterator[Send]:
    """Sends files to the running server."""
    url = f"{address}/upload?collection={quote(collection, safe='')}"

    def send(name: str, data: bytes) -> dict[str, Any]:
        request = server_requests.upload_request(url, name, data)
        try:
            (outcome,) = server_requests.ask(request, TIMEOUT_SECONDS)
        except HTTPError as error:
            if error.code not in REFUSALS:
                raise
            (outcome,) = json.load(error)["files"]
        return dict(outcome)

    with server_requests.sentences(address):
        yield send


@contextmanager
def _here(collection: str) -> Iterator[Send]:
    """Stores files in this process."""
    with sentences("Not uploaded"), open_services(open_settings()) as services:
        uploads = services.registry.open(DEFAULT_NAMESPACE, collection).uploads

        def send(name: str, data: bytes) -> dict[str, Any]:
            (outcome,) = uploads.store([Upload(printable(name), data)], None, {})
            return UploadResult.of(outcome).model_dump()

        yield send
