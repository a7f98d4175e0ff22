#!/bin/sh
# Pillow 12.3.0: a picture without Exif is turned by the orientation in its XMP.
#
# Guessed before looking: ImageOps.exif_transpose follows Exif alone, as its name says and as browsers and
# viewers do.
# Seen: getexif takes tiff:Orientation from XMP where Exif has none, and a TIFF is turned by it already
# when it is loaded. Editors leave the tag behind after they have turned the pixels, so such a picture
# lies on its side, and nowhere else.
# Here: app/pictures/orientation.py hides the tag from Pillow.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==12.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

from PIL import Image, ImageOps

PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def opened(kind, **options):
    out = io.BytesIO()
    Image.new("RGB", (40, 20)).save(out, kind, **options)
    image = Image.open(out)
    image.load()
    return image


jpeg = ImageOps.exif_transpose(opened("JPEG", xmp=PACKET)).size
tiff = opened("TIFF", tiffinfo={700: PACKET}).size
print(f"stored as 40 × 20: JPEG {jpeg} after exif_transpose, TIFF {tiff} after load")
sys.exit((jpeg, tiff) != ((20, 40), (20, 40)))
PYTHON
