#!/bin/sh
# watchfiles 1.3.0: all threads of a process stand still while it begins to watch a folder.
#
# Guessed before looking: the walk over all sub-folders, which adds a watch for each, lets other threads
# run, as the waiting for changes afterwards does.
# Seen: the walk is in the constructor of its Rust object, which keeps Python's lock. Over 20,000
# sub-folders on a local disk a thread that wakes every millisecond paused for about as long as the
# whole walk; on a network disk a walk takes minutes, and as long as it likes if the server is away.
# Here: a process of its own watches each folder (app/ingest/folder_events.py), so that searches go on.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q watchfiles==1.3.0
cat >"$folder/look.py" <<'PYTHON'
import pathlib
import sys
import threading
import time

from watchfiles import watch

FOLDERS = 20_000
top = pathlib.Path(sys.argv[1])
for number in range(FOLDERS):
    (top / f"{number:05}").mkdir(parents=True)

pauses = []
stop = threading.Event()


def wake() -> None:
    last = time.monotonic()
    while not stop.wait(0.001):
        now = time.monotonic()
        pauses.append(now - last)
        last = now


thread = threading.Thread(target=wake)
thread.start()
time.sleep(0.5)
before = max(pauses)
pauses.clear()
began = time.monotonic()
next(watch(top, rust_timeout=1, yield_on_timeout=True))
took = time.monotonic() - began
stop.set()
thread.join()
print(f"longest pause before: {before:.3f} s; of {took:.3f} s that it took to begin: {max(pauses):.3f} s")
sys.exit(max(pauses) < took / 2)
PYTHON
"$folder/venv/bin/python" "$folder/look.py" "$folder/pictures"
