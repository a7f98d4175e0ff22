#!/bin/sh
# Pillow 12.0.0: a valid PNG whose ICC profile unpacks to more than 1 MB cannot be opened.
#
# Guessed before looking: the profile is left out with a warning, as a damaged one is.
# Seen: Image.open raises ValueError, "Decompressed data too large". The bound is
# PngImagePlugin.MAX_TEXT_CHUNK, made for text; profiles of displays and presses measured by table have
# 1 to 3 MB, and a JPEG or TIFF with the same profile opens.
# Here: app/pictures/color/profiles.py passes over such a profile, and the picture is read.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==12.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

from PIL import Image, ImageCms

srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
profile = (len(srgb) + 2_000_000).to_bytes(4, "big") + srgb[4:] + bytes(2_000_000)  # padded


def opens(kind):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, kind, icc_profile=profile)
    try:
        Image.open(out).load()
    except ValueError as error:
        print(f"{kind}: {type(error).__name__}")
        return False
    print(f"{kind}: opened")
    return True


sys.exit((opens("JPEG"), opens("TIFF"), opens("PNG")) != (True, True, False))
PYTHON
