"""What is written in a picture's file about it: XMP, IPTC and Exif as one description."""

import struct
from dataclasses import replace

from PIL import Image as Pillow
from PIL.TiffImagePlugin import TiffImageFile

from app.errors import AnnotationInvalid
from app.pictures.jpeg import START_OF_JPEG
from app.pictures.metadata.description import Description, best_time
from app.pictures.metadata.exif import read_exif
from app.pictures.metadata.extended_xmp import read_extended_xmp
from app.pictures.metadata.iptc import read_iptc
from app.pictures.metadata.xmp import read_xmp

PHOTOSHOP_IPTC = 0x0404  # the image resource that holds IPTC
TIFF_IPTC = 33_723


def read_description(image: Pillow.Image, data: bytes) -> Description:
    """What the file of a picture says: XMP over IPTC over Exif. Never raises.

    `image` is as in `read_exif`, opened from `data`. The time is that of the camera if it has one.
    """
    exif, iptc, xmp = read_exif(image), read_iptc(_iptc(image)), _read_xmp(image, data)
    merged = xmp.over(iptc).over(exif)
    return replace(merged, taken=best_time((exif.taken, xmp.taken, iptc.taken)))


def _read_xmp(image: Pillow.Image, data: bytes) -> Description:
    found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    packet = found.encode() if isinstance(found, str) else found
    if not isinstance(packet, bytes):
        return Description()
    described = _read_packet(packet)
    if data.startswith(START_OF_JPEG) and (rest := read_extended_xmp(data, packet)):
        return described.over(_read_packet(rest))
    return described


def _read_packet(packet: bytes) -> Description:
    try:
        return read_xmp(packet)
    except AnnotationInvalid:  # a damaged packet costs itself alone
        return Description()


def _iptc(image: Pillow.Image) -> bytes:
    resources = image.info.get("photoshop")  # of a JPEG
    found = resources.get(PHOTOSHOP_IPTC) if isinstance(resources, dict) else None
    if isinstance(image, TiffImageFile):
        found = image.tag_v2.get(TIFF_IPTC)
        if isinstance(found, tuple):  # declared as numbers, in the byte order of the file
            order = "<" if image.tag_v2.prefix == b"II" else ">"
            found = _packed(order, found)
    return found if isinstance(found, bytes) else b""


def _packed(order: str, numbers: tuple[object, ...]) -> bytes | None:
    try:
        return struct.pack(f"{order}{len(numbers)}L", *numbers)
    except struct.error:
        return None
