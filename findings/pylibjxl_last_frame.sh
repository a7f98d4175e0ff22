#!/bin/sh
# pylibjxl 0.5.0: decode(data, metadata=True) of an animation gives its last frame, decode(data) its first.
#
# Guessed before looking: `metadata` changes only whether the metadata come too, not the pixels.
# Seen: with metadata it reads on to the end of the file, and each frame overwrites the one before.
# Here: of an animation the pixels alone are decoded (app/pictures/jpeg_xl/decoding_process.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pylibjxl==0.5.0 imagecodecs==2026.3.6 'numpy<3'
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import imagecodecs
import numpy as np
import pylibjxl

frames = np.stack([np.full((8, 16, 3), grey, np.uint8) for grey in (10, 100, 200)])
data = imagecodecs.jpegxl_encode(frames, lossless=True, planar=False)
alone = int(pylibjxl.decode(data)[0, 0, 0])
pixels, _ = pylibjxl.decode(data, metadata=True)
print(f"pixels alone: {alone}; with metadata: {pixels[0, 0, 0]}")
sys.exit(not (alone == 10 and pixels[0, 0, 0] == 200))
PYTHON
