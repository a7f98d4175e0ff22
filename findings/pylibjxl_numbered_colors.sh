#!/bin/sh
# pylibjxl 0.5.0 gives no profile for a JPEG XL that names its colors by numbers.
#
# Guessed before looking: libjxl makes a profile of any colors, so `icc` would be there for all that is not
# sRGB. Seen: a picture in linear light, as imagecodecs writes 16-bit pixels, comes as linear numbers without
# a word; shown as sRGB it is far too dark. Most encoders name Display P3 and HDR by numbers too.
# Here: the header is read for them, and a profile is made (app/pictures/jpeg_xl/header.py and profile.py).
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

data = imagecodecs.jpegxl_encode(np.full((8, 16, 3), 55 * 257, np.uint16), lossless=True)
pixels, metadata = pylibjxl.decode(data, metadata=True)
print(f"linear 55 is read as {pixels[0, 0]}, with {sorted(metadata) or 'no profile'}")
sys.exit(not (pixels[0, 0, 0] == 55 and "icc" not in metadata))
PYTHON
