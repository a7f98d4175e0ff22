"""How much memory the decoding of a picture takes, told from its header."""

from PIL import Image as Pillow

from app.pictures.color.conversion import BAND_PIXELS
from app.pictures.formats import JPEG_FORMATS
from app.pictures.jpeg import read_frame

BYTES_PER_PIXEL = {
    "AVIF": 18,  # planes of 10 bits, RGB, and Pillow's image
    "BMP": 6,
    "GIF": 6,
    "HEIF": 18,
    "JPEG": 5,
    "JPEG2000": 26,  # planes of 32 bits, with all levels of detail
    "JXL": 24,  # half of it in the decoder's process
    "MPO": 5,
    "PNG": 6,
    "TIFF": 12,  # a file may be one strip, held beside the image
    "WEBP": 16,  # libwebp's animation decoder holds two canvases beside the image and a copy
}
"""The memory that decoding takes at its peak, by format; measured with Pillow 12."""

CONVERSION_BYTES = 24  # per pixel of a band, in several modes
RESULT_BYTES = 8  # per pixel of the result, and of it turned upright


def memory_needed(image: Pillow.Image, full: tuple[int, int], factor: int, data: bytes) -> int:
    """The bytes of memory that decoding, converting and turning the picture takes at most."""
    pixels = image.width * image.height
    needed = pixels * BYTES_PER_PIXEL[image.format or ""]
    needed += min(pixels, BAND_PIXELS) * CONVERSION_BYTES + pixels // factor**2 * RESULT_BYTES
    if image.format in JPEG_FORMATS:
        needed += read_frame(data).coefficient_bytes(full[0] * full[1])
    return needed
