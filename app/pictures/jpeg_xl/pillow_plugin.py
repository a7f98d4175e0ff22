"""Pillow's plugin for JPEG XL: opens the header itself, and decodes in a process of its own.

The decoder takes as much time and memory as a file demands, whatever the size in its header:
a layer may be larger than the picture, and metadata may be unpacked to any length. In a process
of its own both are limited, and a fault of the decoder costs no more than the picture.
"""

import json
import os
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import ImageFile

from app.errors import ImageUnsupported
from app.pictures.jpeg_xl.header import CODESTREAM, CONTAINER, read_header
from app.pictures.jpeg_xl.profile import color_profile

JPEG_XL = "JXL"
PACKAGE = "pylibjxl"
EXIF_START = b"Exif\0\0"
PROGRAM = str(Path(__file__).with_name("decoding_process.py"))
PROCESS_BYTES = 600_000_000  # of the decoder's process, with Python, beside the picture's
PICTURE_BYTES = 24  # per pixel, of all channels that pictures commonly have
CHANNEL_BYTES = 8  # per pixel, of each channel beside them
MAX_PROCESSOR_SECONDS = 60  # of all threads; 50 megapixels take about 5
MAX_SECONDS = 120
KEPT = ("PATH", "LD_LIBRARY_PATH")  # of our environment, which has secrets
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of numpy, which starts sooner


@cache
def reads_jpeg_xl() -> bool:
    """Whether the package that decodes JPEG XL is installed."""
    return find_spec(PACKAGE) is not None


def register_jpeg_xl() -> None:
    """Let Pillow open JPEG XL."""
    Pillow.register_open(JPEG_XL, JpegXlFile, _accept)


def _accept(head: bytes) -> bool:
    return head.startswith((CODESTREAM, CONTAINER))


class JpegXlFile(ImageFile.ImageFile):
    """A JPEG XL as a Pillow image, upright, 8 bits a channel; of an animation, the first frame."""

    format = JPEG_XL
    format_description = "JPEG XL"

    def _open(self) -> None:
        if self.fp is None:
            raise SyntaxError("no file")  # Pillow's word for "not of this format"
        self._data = self.fp.read()
        self._header = read_header(self._data)
        if self._header.has_black:  # which the decoder leaves out
            raise ImageUnsupported(
                "This is a JPEG XL in CMYK, which is not read: save it in RGB, or as JPEG or TIFF."
            )
        self._size = (self._header.width, self._header.height)
        self._mode = "L" if self._header.is_grey else "RGB"
        self.tile = []

    def load(self) -> Any:
        """Decode, and read the profile, Exif and XMP. Raises OSError if that cannot be done."""
        if self._data:
            pixels, shape, metadata = _decoded(self._data, self._memory_bytes())
            self._data = b""
            channels = shape[2] if len(shape) > 2 else 1
            if (shape[1], shape[0]) != self.size or not 1 <= channels <= 4:
                raise OSError("its pixels are not as its header says")
            self._mode = ("L", "LA", "RGB", "RGBA")[channels - 1]
            self._im = Pillow.frombytes(self._mode, self.size, pixels).im
            self._add_metadata(*metadata)
        return super().load()

    def _memory_bytes(self) -> int:
        channels = self._header.extra_channels * CHANNEL_BYTES
        return PROCESS_BYTES + self.width * self.height * (PICTURE_BYTES + channels)

    def _add_metadata(self, profile: bytes, exif: bytes, xmp: bytes) -> None:
        if not profile and self._header.colors is not None:
            profile = color_profile(self._header.colors) or b""
        exif = EXIF_START + exif if exif else b""
        for key, value in (("icc_profile", profile), ("exif", exif), ("xmp", xmp)):
            if value:
                self.info[key] = value


def _decoded(data: bytes, memory: int) -> tuple[memoryview, list[int], list[bytes]]:
    """The pixels, their shape (height, width, channels), and the profile, Exif and XMP."""
    command = [sys.executable, "-I", PROGRAM, str(memory), str(MAX_PROCESSOR_SECONDS)]
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter, and a program of ours
            command,
            input=data,
            capture_output=True,
            timeout=MAX_SECONDS,
            env=ONE_THREAD | {name: os.environ[name] for name in KEPT if name in os.environ},
            check=True,
        )
    except subprocess.SubprocessError:
        raise OSError("its decoder took too much time or memory, or failed") from None
    start = done.stdout.index(b"\n") + 1
    said = json.loads(done.stdout[:start])
    if "error" in said:
        raise OSError(said["error"])
    parts, rest = [], memoryview(done.stdout)[start:]  # copies would take the picture's memory
    for length in said["lengths"]:
        parts.append(rest[:length])
        rest = rest[length:]
    pixels, *metadata = parts
    return pixels, said["shape"], [bytes(part) for part in metadata]
