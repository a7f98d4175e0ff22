#!/bin/sh
# PyAV 18.1.0: frames that `CodecContext.decode(None)` drains have a pts and no time base: their `time` is NaN.
#
# Guessed before looking: all frames of a stream know their time base, whichever call they come from. Seen: those
# that come with a packet get it from that; those that were left in the decoder have none: the last of a video, or
# all of a key frame that is decoded alone. NaN is no error, and compares as false with every time.
# Here: times are the pts by the stream's time base (app/pictures/video/packets.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 'numpy<3'
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import av
import numpy as np

out = io.BytesIO()
with av.open(out, "w", format="mp4") as target:
    stream = target.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    for n in range(10):
        levels = np.full((48, 64, 3), 20 * n, np.uint8)
        target.mux(stream.encode(av.VideoFrame.from_ndarray(levels, "rgb24")))
    target.mux(stream.encode())

with av.open(io.BytesIO(out.getvalue())) as source:
    stream = source.streams.video[0]
    packets = [packet for packet in source.demux(stream) if packet.size]
    with_packets = [frame for packet in packets for frame in stream.codec_context.decode(packet)]
    drained = stream.codec_context.decode(None)
print(f"with packets: {[one.time for one in with_packets]}")
print(f"drained: {[(one.pts, one.time) for one in drained]}")
sys.exit(not (drained and all(one.pts is not None and one.time_base is None and one.time != one.time for one in drained)))
PYTHON
