#!/bin/sh
# PyAV 18.1.0 keeps every frame whose `side_data` was looked at until Python's garbage collector runs.
#
# Guessed before looking: a frame's memory goes with its last reference, as numpy's does. Seen: the container of
# side data and the frame refer to each other, and the collector counts objects, not their megabytes: 300 frames of
# 640 × 480 pixels held 139 MB, where none were held without the look. With a limit on memory, videos failed.
# Here: the display matrix is read of one frame of a video (app/pictures/video/decoding_process.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 'numpy<3'
"$folder/venv/bin/python" - <<'PYTHON'
import gc
import io
import sys

import av
import numpy as np

out = io.BytesIO()
with av.open(out, "w", format="mp4") as target:
    stream = target.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
    stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
    for n in range(300):
        levels = np.full((480, 640, 3), n % 255, np.uint8)
        target.mux(stream.encode(av.VideoFrame.from_ndarray(levels, "rgb24")))
    target.mux(stream.encode())


def left_after(look):
    """The frames that are there when all have been decoded and let go."""
    gc.collect()
    gc.disable()
    with av.open(io.BytesIO(out.getvalue())) as source:
        for frame in source.decode(video=0):
            look(frame)
    del frame
    left = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
    gc.enable()
    return left, gc.collect()


plain, looked = left_after(lambda frame: frame.pts), left_after(lambda frame: frame.side_data)
print(f"left without a look: {plain[0]}; with one: {looked[0]}, and {looked[1]} objects in cycles")
sys.exit(not (plain[0] == 0 and looked[1] >= 600))
PYTHON
