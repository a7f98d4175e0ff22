"""Which way up a picture is: by its Exif, or by its container, which the decoders apply."""

from PIL import Image as Pillow
from PIL import JpegImagePlugin

from app.pictures.jpeg_xl.pillow_plugin import JPEG_XL

PillowImage = Pillow.Image

ORIENTATION_TAG = 0x0112
SIDEWAYS = {5, 6, 7, 8}  # the Exif orientations that swap width and height
XMP_KEYS = ("xmp", "XML:com.adobe.xmp")  # of Pillow's `info`, by format
XMP_ORIENTATION, PASSED_OVER = "tiff:Orientation", "tiff:PassedOver "


def pass_over_xmp_orientation(image: PillowImage) -> None:
    """Hide the orientation in a picture's XMP from Pillow, which would turn the picture by it.

    Editors leave it behind when they turn the pixels; no viewer follows it. To be called before
    the picture is loaded, since Pillow turns TIFF then, and after, since PNG may end with its XMP.
    """
    for key in XMP_KEYS:
        packet = image.info.get(key)
        if isinstance(packet, str):
            image.info[key] = packet.replace(XMP_ORIENTATION, PASSED_OVER)
        elif isinstance(packet, bytes):
            image.info[key] = packet.replace(XMP_ORIENTATION.encode(), PASSED_OVER.encode())


def read_orientation(image: PillowImage) -> int:
    """The Exif orientation from 1 to 8 of a loaded picture, 1 if it is missing or damaged."""
    pass_over_xmp_orientation(image)
    if image.format == JPEG_XL:  # its decoder turns it; Exif only repeats what the file says
        return 1
    try:
        if isinstance(image, JpegImagePlugin.JpegImageFile):  # read with its XMP when it was opened
            exif = Pillow.Exif()
            exif.load(image.info.get("exif", b""))
        else:
            exif = image.getexif()
        return int(exif.get(ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001  # damaged metadata does not make the picture unreadable
        return 1


def upright(image: PillowImage, orientation: int) -> PillowImage:
    """The picture turned by its Exif orientation."""
    method = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_270,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_90,
    }.get(orientation)
    return image if method is None else image.transpose(method)
