#!/bin/sh
# openvino 2026.4.1: after each inference the other threads spin for more than a millisecond.
#
# Guessed before looking: where one request at a time is answered (PERFORMANCE_HINT LATENCY), a thread
# of the pool that has nothing to do sleeps at once, so an inference costs the same processor time
# whether the next one follows at once or after a pause.
# Seen: with two threads and a pause after each inference, it costs 1 to 2 ms of a processor more than
# without one: oneTBB's worker looks for work before it sleeps. No property of the plugin changes that.
# With INFERENCE_NUM_THREADS 1 there is no such thread, and a pause costs a third: caches gone cold.
# Here: a search waits for Postgres right after its text was encoded. A small model spends more on
# spinning than on encoding: processor time of searches says little about the model, and `make benchmark
# FIGURE=profile` counts it to the server.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q openvino==2026.4.1 numpy==2.4.6
cat >"$folder/look.py" <<'PYTHON'
import os
import sys
import time

import numpy as np
import openvino as ov
from openvino import opset13 as ops

WIDTH, LAYERS, TIMES, PAUSE = 512, 12, 200, 0.02
if len(os.sched_getaffinity(0)) < 2:
    sys.exit("needs two processors")
rng = np.random.default_rng(0)
given = ops.parameter([-1, WIDTH], np.float32)
node = given
for _ in range(LAYERS):
    weights = ops.constant(rng.standard_normal((WIDTH, WIDTH), np.float32) / WIDTH)
    node = ops.relu(ops.matmul(node, weights, False, False))
model = ov.Model([node], [given])
row = rng.standard_normal((8, WIDTH), np.float32)
core = ov.Core()


def cost(threads: int, pause: float) -> float:
    """Milliseconds of all processors for one inference."""
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", options).create_infer_request()
    spent = 0.0
    for turn in range(TIMES + 20):
        began = time.process_time()
        request.infer([row])
        if pause:
            time.sleep(pause)
        spent += time.process_time() - began if turn >= 20 else 0.0
    return 1e3 * spent / TIMES


found = {}
for threads in (1, 2):
    at_once, later = cost(threads, 0), cost(threads, PAUSE)
    found[threads] = later - at_once
    print(f"{threads} threads: {at_once:.2f} ms at once, {later:.2f} ms with a pause after each")
sys.exit(not (found[2] > 0.5 and found[1] < found[2] / 2))
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
