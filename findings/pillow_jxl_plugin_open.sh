#!/bin/sh
# pillow-jxl-plugin 1.3.8: Image.open decodes all pixels of a JPEG XL.
#
# Guessed before looking: open reads the header, as Pillow's own plugins do, and load the pixels.
# Seen: open of a picture of 16 megapixels takes as long as decoding it, and load almost nothing. A limit
# on width and height, checked between open and load, comes too late: the memory is already taken.
# Here: JPEG XL has a plugin of our own, which reads the size in the header itself
# (app/pictures/jpeg_xl/pillow_plugin.py).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==12.3.0 pillow-jxl-plugin==1.3.8 packaging
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
import time

import pillow_jxl  # noqa: F401  # registers the format
from PIL import Image


def shares(kind):
    out = io.BytesIO()
    Image.effect_noise((4_000, 4_000), 64).convert("RGB").save(out, kind, **OPTIONS[kind])
    began = time.process_time()
    image = Image.open(out)
    opened = time.process_time()
    image.load()
    ended = time.process_time()
    print(f"{kind}: open {opened - began:.3f} s, load {ended - opened:.3f} s")
    return (opened - began) / (ended - began)


OPTIONS = {"JXL": {"effort": 1}, "JPEG": {}}
sys.exit(not (shares("JXL") > 0.5 > shares("JPEG")))
PYTHON
