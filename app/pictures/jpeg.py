"""JPEG markers (ITU-T T.81, Annex B): what a decoder will need, read before it runs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import ImageCorrupt

START_OF_JPEG = b"\xff\xd8\xff"
START_OF_IMAGE = b"\xff\xd8"
START_OF_SCAN = b"\xff\xda"
END_OF_IMAGE = b"\xff\xd9"
START_OF_EXIF = b"Exif\0\0"
MAX_SCANS = 100  # a progressive JPEG has about 10; each is a pass over all pixels
MAX_SEGMENTS = 5_000  # before the first scan: usually 10 to 30; depth maps take 200
MAX_PADDING_BYTES = 65_536  # between them: usually none
MAX_EXIF_BLOCKS = 200  # usually 1; Pillow joins them one by one, in quadratic time
COEFFICIENT_BYTES = 2
COEFFICIENTS = 64  # of a block
MISSING = 16  # bits: more than any coefficient has
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in scans FF 00 is data, FF D0 to D7 restarts
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
SEQUENTIAL_FRAMES = {0xC0, 0xC1, 0xC9}  # not progressive: baseline, extended, arithmetic
READ_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
SCAN, APP1 = 0xDA, 0xE1
STANDALONE = {0x01, 0xD8, 0xD9}  # TEM, SOI, EOI
TABLES = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)}  # tables, comments, APPn
IN_PICTURE = FRAMES | TABLES | {SCAN}
INK = bytes(range(255)) * 8
"""Entropy-coded data that shows in the picture if a decoder still reads it; after FF, 00 is data.

If a picture is the same with and without INK ahead of its end marker, it was complete.
"""


@dataclass(frozen=True)
class JpegFrame:
    """What the frame header and the first scan header say.

    `samples_per_pixel` counts all components, 3 without chroma subsampling and 1.5 for 4:2:0.
    `is_buffered` says whether the decoder holds all coefficients: of a progressive JPEG, and of
    one whose scans have a component each.
    """

    samples_per_pixel: float
    is_progressive: bool
    is_buffered: bool

    def coefficient_bytes(self, pixels: int) -> int:
        """The bytes of all coefficients of a frame of so many pixels, 0 if they are not held."""
        return int(COEFFICIENT_BYTES * self.samples_per_pixel * pixels) if self.is_buffered else 0


def check_jpeg(data: bytes) -> None:
    """Raise ImageCorrupt for a JPEG of hostile length: too many scans, segments, blocks of Exif.

    A JPEG of some kilobytes can demand thousands of passes over all its pixels, and one of some
    megabytes makes Pillow copy terabytes of Exif, or read millions of segments one by one, while
    it opens the file.
    """
    if not data.startswith(START_OF_JPEG):
        return
    _check_header(data)
    if _exceeds(data, START_OF_EXIF, MAX_EXIF_BLOCKS):
        raise ImageCorrupt(
            f"The JPEG is damaged: it has more than {MAX_EXIF_BLOCKS} blocks of Exif."
        )
    if _exceeds(data, START_OF_SCAN, MAX_SCANS):
        raise ImageCorrupt(f"The JPEG is damaged: it has more than {MAX_SCANS} scans.")


def _check_header(data: bytes) -> None:
    """Check what comes before the first scan: the segments, and the bytes between them."""
    end, padding = len(START_OF_IMAGE), 0
    for number, (kind, position, parameters) in enumerate(_markers(data)):
        padding += position - end
        if number > MAX_SEGMENTS or padding > MAX_PADDING_BYTES:
            raise ImageCorrupt(
                f"The JPEG is damaged: it has more than {MAX_SEGMENTS:,} segments, "
                f"or {MAX_PADDING_BYTES:,} bytes between them."
            )
        if kind == SCAN:
            return
        end = position + 4 + len(parameters or b"")
    if len(data) - end > MAX_PADDING_BYTES and data.startswith(b"\xff", end):
        raise ImageCorrupt("The JPEG is damaged: it has no picture.")


def _exceeds(data: bytes, mark: bytes, limit: int) -> bool:
    """Whether there are more marks than that in the picture, whatever follows its end.

    The film of a motion photo has the bytes of any mark. The picture's end counts only if every
    marker before it is understood; else a decoder might read on where this reader does not.
    """
    return data.count(mark) > limit and data.count(mark, 0, _end(data)) > limit


def _end(data: bytes) -> int:
    """Where the first picture ends, in bytes; the length of the file if that is not sure."""
    for kind, position, _ in _markers(data):
        if kind == END_OF_IMAGE[1]:
            return position
    return len(data)


def read_frame(data: bytes) -> JpegFrame:
    """Read the headers of the first frame and scan; of a damaged file, assume the most memory."""
    frame: tuple[int, bytes] | None = None
    for kind, _, parameters in _markers(data):
        if kind in FRAMES and parameters and len(parameters) >= 6 + 3 * parameters[5]:
            frame = (kind, parameters)
        elif kind == SCAN and frame is not None and parameters:
            is_progressive = frame[0] not in SEQUENTIAL_FRAMES
            is_buffered = is_progressive or parameters[0] < frame[1][5]
            return JpegFrame(_samples_per_pixel(frame[1]), is_progressive, is_buffered)
    return JpegFrame(4.0, is_progressive=True, is_buffered=True)


def frame_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels by the first frame's header.

    (0, 0) if it is damaged or of a kind that decoders do not read, such as the lossless JPEG of
    camera raw files.
    """
    for kind, _, parameters in _markers(data):
        if kind in FRAMES:
            if kind not in READ_FRAMES or not parameters or len(parameters) < 6:
                return 0, 0
            return int.from_bytes(parameters[3:5]), int.from_bytes(parameters[1:3])
    return 0, 0


def segments(data: bytes, kind: int) -> Iterator[bytes]:
    """The contents of the segments of a kind before the first scan."""
    for found, _, parameters in _markers(data):
        if found == SCAN:
            return
        if found == kind and parameters is not None:
            yield parameters


def _samples_per_pixel(frame: bytes) -> float:
    factors = [(byte >> 4, byte & 15) for byte in frame[7 : 6 + 3 * frame[5] : 3]]
    widest = max((across for across, _ in factors), default=0)
    highest = max((down for _, down in factors), default=0)
    total = sum(across * down for across, down in factors)
    return total / (widest * highest) if widest and highest else 4.0


def with_end_marker(data: bytes) -> bytes | None:
    """A JPEG that lacks its end marker, with the marker and without what follows the last scan.

    None if it has the marker, or if it was cut: a scan is missing, or it ends amid a marker. The
    last scan may still be cut: see `INK`.

    Some cameras leave the marker out, and append data of their own. That may look like markers,
    but hardly like one that may stand between scans and has a plausible length.
    """
    levels: dict[int, list[int]] = {}  # by component: the bits that each coefficient still lacks
    end = len(data)
    for kind, position, parameters in _markers(data):
        if kind == END_OF_IMAGE[1]:
            return None
        if parameters is None or kind not in IN_PICTURE:
            end = position
            break
        if kind == SCAN:
            _note_scan(parameters, levels)
    is_cut = data[:end].endswith(b"\xff") or any(any(left) for left in levels.values())
    return data[:end] + END_OF_IMAGE if levels and not is_cut else None


def _note_scan(parameters: bytes, levels: dict[int, list[int]]) -> None:
    if not parameters or len(parameters) < 4 + 2 * parameters[0]:
        return
    *components, first, last, bits = parameters[1 : 4 + 2 * parameters[0]]
    for component in components[::2]:
        left = levels.setdefault(component, [MISSING] * COEFFICIENTS)
        left[first : last + 1] = [bits & 15] * len(left[first : last + 1])


def _markers(data: bytes) -> Iterator[tuple[int, int, bytes | None]]:
    """The markers after the first: second byte, position, and parameters (None without a length).

    Ends after a marker without parameters, or after more than MAX_SEGMENTS, and steps over the
    entropy-coded data of scans.
    """
    at = len(START_OF_IMAGE)
    for _ in range(MAX_SEGMENTS + 2):  # so that more can be told
        if (found := MARKER.search(data, at)) is None:
            return
        start = found.end()
        length = int.from_bytes(data[start : start + 2])
        is_segment = data[start - 1] not in STANDALONE and 2 <= length <= len(data) - start
        yield (
            data[start - 1],
            found.start(),
            data[start + 2 : start + length] if is_segment else None,
        )
        if not is_segment:
            return
        at = start + length
