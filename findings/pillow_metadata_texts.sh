#!/bin/sh
# Pillow 12.3.0: texts about a picture, as photo programs write them.
#
# Guessed before looking: getxmp() keeps the namespaces of names, or their prefixes; a text in Exif comes as
# it was written; save(xmp=…) writes the packet, or refuses to, in every format that can hold one.
# Seen: (1) getxmp() drops namespaces: of xmp:Rating="4" and MicrosoftPhoto:Rating="75" one is left, the last.
# (2) ASCII values are decoded as Latin-1: "Größe" in UTF-8, which phones and exiftool write, is "GrÃ¶Ã\x9fe".
# (3) save(xmp=…) writes it into JPEG, WebP and AVIF, and into PNG and TIFF silently not, though both are read.
# Here: app/pictures/metadata/xmp.py parses the packet of image.info["xmp"] itself; app/pictures/metadata/exif.py tries UTF-8
# first; tests write the packets of PNG and TIFF as an iTXt chunk and tag 700.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pillow==12.3.0 defusedxml==0.7.1
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

from PIL import Image

PACKET = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:MicrosoftPhoto="http://ns.microsoft.com/photo/1.0/"
xmp:Rating="4" MicrosoftPhoto:Rating="75"/></rdf:RDF></x:xmpmeta>"""
exif = Image.Exif()
exif[0x010E] = "Größe".encode()


def saved(kind):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, kind, xmp=PACKET, exif=exif)
    return Image.open(out)


described = saved("JPEG").getxmp()["xmpmeta"]["RDF"]["Description"]
print(described)
text = saved("JPEG").getexif()[0x010E]
print(ascii(text))
written = {kind: "xmp" in saved(kind).info for kind in ("JPEG", "WEBP", "AVIF", "PNG", "TIFF")}
print(written)
ratings = [value for name, value in described.items() if name.endswith("Rating")]
sys.exit(
    not (
        ratings == ["75"]
        and text.encode("latin-1").decode() == "Größe"
        and [kind for kind in written if not written[kind]] == ["PNG", "TIFF"]
    )
)
PYTHON
