#!/bin/sh
# FFmpeg 8's libvpx-vp9 and libsvtav1, by default, put no key frame where the scene changes.
#
# Guessed before looking: every encoder begins a hard cut with a key frame, since nothing can be predicted there; so
# key frames alone would show all scenes. Seen: with its defaults libx264 does, at the frame; VP9 and AV1 keep
# to their distances (5.12 s and 6.44 s at 25 frames a second), and a scene between two is in no key frame.
# Here: groups of pictures with a packet that weighs much more than others are decoded as a whole
# (app/pictures/video/packets.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 'numpy<3'
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import io
import sys

import av
import numpy as np

CUT, RATE, END = 3, 25, 15
ENCODERS = {"libx264": "mp4", "libvpx-vp9": "webm", "libsvtav1": "mp4"}


def key_frames(codec, container):
    """When key frames are, in seconds, of a video with a cut at CUT."""
    random = np.random.default_rng(1)
    small = [random.integers(0, 255, (12, 16, 3), np.uint8) for _ in range(2)]
    smooth = {"width": 320, "height": 240, "interpolation": "BICUBIC"}
    scenes = [av.VideoFrame.from_ndarray(one, "rgb24").reformat(**smooth).to_ndarray() for one in small]
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        stream = target.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for n in range(END * RATE):
            grain = random.normal(0, 2, (240, 320, 3))
            levels = np.clip(scenes[n >= CUT * RATE] + grain, 0, 255).astype(np.uint8)
            target.mux(stream.encode(av.VideoFrame.from_ndarray(levels, "rgb24")))
        target.mux(stream.encode())
    with av.open(io.BytesIO(out.getvalue())) as source:
        packets = [one for one in source.demux(video=0) if one.pts is not None and one.is_keyframe]
        return [round(float(one.pts * one.time_base), 2) for one in packets]


found = {codec: key_frames(codec, container) for codec, container in ENCODERS.items()}
for codec, times in found.items():
    print(f"{codec}: {times[:5]}")
without = [codec for codec, times in found.items() if CUT not in times]
sys.exit(without != ["libvpx-vp9", "libsvtav1"])
PYTHON
