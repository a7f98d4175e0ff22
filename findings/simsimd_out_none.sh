#!/bin/sh
# simsimd 6.5.16: `cdist(…, out=…)` gives away a reference to None with each call.
#
# Guessed before looking: writing into an array of the caller's is the safe and cheap way, as its
# documentation recommends, and returns None like any function.
# Seen: after 50 calls there are 50 references to None fewer. Up to Python 3.11, where None is not
# immortal, a process that searches long enough ends when none is left. Without `out` nothing is lost.
# numkong 7.8.6, the same project under its new name, returns None properly.
# Here: app/index/resident/codes.py compares codes with numkong, and its output has a place of its own.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q simsimd==6.5.16 numkong==7.8.6 numpy==2.4.6
cat >"$folder/look.py" <<'PYTHON'
import sys

import numkong
import numpy as np
import simsimd

CALLS = 50
rows, query = np.ones((100, 64), np.int8), np.ones((1, 64), np.int8)
out = np.empty((1, 100))


def lost(library: object, **options: object) -> int:
    """References to None fewer after CALLS calls."""
    before = sys.getrefcount(None)
    for _ in range(CALLS):
        library.cdist(query, rows, metric="dot", **options)
    return before - sys.getrefcount(None)


found = {
    "simsimd with out": lost(simsimd, out=out),
    "simsimd": lost(simsimd),
    "numkong with out": lost(numkong, out=out),
}
print(found, "Python", sys.version.split()[0])
if sys.version_info >= (3, 12):
    sys.exit("None is immortal from Python 3.12 on: nothing to see")
sys.exit([*found.values()] != [CALLS, 0, 0])
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
