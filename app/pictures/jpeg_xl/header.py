"""The header of a JPEG XL (ISO/IEC 18181-1, annexes D and E; boxes in 18181-2), without pixels.

The decoder tells the colors only of files that carry a profile; most name them by numbers instead.
"""

from dataclasses import dataclass

from app.pictures.boxes import boxes

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
MAX_HEADER_BYTES = 4_096  # of the codestream: names of channels are the only long part of it
PART_NUMBER_BYTES = 4  # before each part of a codestream in several boxes
MAX_EXTRA_CHANNELS = 16  # transparency, depth and the like; honest files have one or none
ALPHA, SPOT_COLOR, BLACK, FILTER_ARRAY = 0, 2, 4, 5  # kinds of extra channels that say more
RGB, GREY, XYB = 0, 1, 2
CUSTOM, P3 = 2, 11
D65 = (0.3127, 0.3290)
WHITE_POINTS = {1: D65, 10: (1 / 3, 1 / 3), 11: (0.314, 0.351)}
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
PRIMARIES = {
    1: SRGB,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""Chromaticities of the numbers of white points and of red, green and blue; 9 is BT.2100."""

RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, of sizes that give only their height."""

Point = tuple[float, float]
Choice = tuple[int, int]  # an offset, and how many bits are added to it


@dataclass(frozen=True)
class Colors:
    """What the numbers of the pixels mean, where it is said without a profile.

    Chromaticities are CIE xy. `gamma` is the exponent that makes them linear light, None if
    `transfer` says it, a number of ITU-T H.273.
    """

    is_grey: bool = False
    white: Point = D65
    primaries: tuple[Point, Point, Point] = SRGB
    transfer: int = 13
    gamma: float | None = None


@dataclass(frozen=True)
class JpegXlHeader:
    """Width and height in pixels as shown, after the file's orientation, which decoders apply.

    `extra_channels` counts transparency too. `colors` is None if the file has a profile. With
    `has_black` the other colors are cyan, magenta and yellow.
    """

    width: int
    height: int
    is_grey: bool
    extra_channels: int
    colors: Colors | None
    has_black: bool = False


def read_header(data: bytes) -> JpegXlHeader:
    """The header of a file. Raises ValueError if it is damaged or cut off."""
    reader = _Bits(_codestream_start(data))
    width, height = reader.size()
    if reader.flag():
        return JpegXlHeader(width, height, False, 0, Colors())
    orientation = _extra_fields(reader) if reader.flag() else 1
    reader.bit_depth()
    reader.skip(1)  # whether 16 bits are enough for buffers
    extra = reader.choice((0, 0), (1, 0), (2, 4), (1, 12))
    if extra > MAX_EXTRA_CHANNELS:
        raise ValueError(f"it has {extra} channels beside its colors")
    kinds = [_extra_channel(reader) for _ in range(extra)]
    reader.skip(1)  # whether the pixels are stored in XYB
    is_grey, colors = _colors(reader)
    if orientation > 4:
        width, height = height, width
    return JpegXlHeader(width, height, is_grey, extra, colors, BLACK in kinds)


def _codestream_start(data: bytes) -> bytes:
    """The first bytes of the codestream, after its signature."""
    start = data[:MAX_HEADER_BYTES]
    if data.startswith(CONTAINER):
        parts = (one for one in boxes(data) if one.kind in {b"jxlc", b"jxlp"})
        first = next(parts, None)
        if first is None:
            raise ValueError("it has no codestream")
        at = first.start + (PART_NUMBER_BYTES if first.kind == b"jxlp" else 0)
        start = data[at : min(first.end, at + MAX_HEADER_BYTES)]
    if not start.startswith(CODESTREAM):
        raise ValueError("it has no codestream")
    return start[len(CODESTREAM) :]


class _Bits:
    """Reads numbers of bits, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def number(self, count: int) -> int:
        """The next number, of so many bits. Raises ValueError beyond the end."""
        if count > self._left:
            raise ValueError("its header is cut off")
        found = self._bits & ((1 << count) - 1)
        self.skip(count)
        return found

    def skip(self, count: int) -> None:
        """Pass over so many bits."""
        self._bits >>= count
        self._left -= count

    def flag(self) -> bool:
        """The next bit."""
        return bool(self.number(1))

    def choice(self, *choices: Choice) -> int:
        """One of four kinds of numbers, `U32` in the standard."""
        offset, bits = choices[self.number(2)]
        return offset + self.number(bits)

    def enumerated(self) -> int:
        """A number that stands for a name."""
        return self.choice((0, 0), (1, 0), (2, 4), (18, 6))

    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        is_small = self.flag()
        height = self._side(is_small)
        ratio = self.number(3)
        if ratio == 0:
            return self._side(is_small), height
        across, down = RATIOS[ratio - 1]
        return height * across // down, height

    def _side(self, is_small: bool) -> int:
        if is_small:
            return 8 * (1 + self.number(5))
        return self.choice((1, 9), (1, 13), (1, 18), (1, 30))

    def skip_preview_size(self) -> None:
        """Pass over the size of a small picture that may stand before the picture."""
        sides: tuple[Choice, ...] = ((1, 6), (65, 8), (321, 10), (1345, 12))
        if self.flag():
            sides = ((16, 0), (32, 0), (1, 5), (33, 9))
        self.choice(*sides)
        if self.number(3) == 0:
            self.choice(*sides)

    def bit_depth(self) -> None:
        """Pass over the bits of a sample."""
        if self.flag():
            self.choice((32, 0), (16, 0), (24, 0), (1, 6))
            self.skip(4)
        else:
            self.choice((8, 0), (10, 0), (12, 0), (1, 6))

    def point(self) -> Point:
        """A chromaticity, in millionths with a sign."""
        found = (
            self.choice((0, 19), (524_288, 19), (1_048_576, 20), (2_097_152, 21)) for _ in range(2)
        )
        x, y = ((one >> 1) ^ -(one & 1) for one in found)
        return x / 1e6, y / 1e6


def _extra_fields(reader: _Bits) -> int:
    """Pass over the fields that few pictures have; the orientation among them, as in Exif."""
    orientation = 1 + reader.number(3)
    if reader.flag():
        reader.size()  # for which screens it is meant
    if reader.flag():
        reader.skip_preview_size()
    if reader.flag():  # an animation: ticks a second, repeats, time codes
        reader.choice((100, 0), (1000, 0), (1, 10), (1, 30))
        reader.choice((1, 0), (1001, 0), (1, 8), (1, 10))
        reader.choice((0, 0), (0, 3), (0, 16), (0, 32))
        reader.skip(1)
    return orientation


def _extra_channel(reader: _Bits) -> int:
    """Pass over what is said of an extra channel, except its kind."""
    if reader.flag():
        return ALPHA  # as usual
    kind = reader.enumerated()
    reader.bit_depth()
    reader.choice((0, 0), (3, 0), (4, 0), (1, 3))
    reader.skip(8 * reader.choice((0, 0), (0, 4), (16, 5), (48, 10)))  # its name
    if kind == ALPHA:
        reader.skip(1)
    elif kind == SPOT_COLOR:
        reader.skip(4 * 16)
    elif kind == FILTER_ARRAY:
        reader.choice((1, 0), (0, 2), (3, 4), (19, 8))
    return kind


def _colors(reader: _Bits) -> tuple[bool, Colors | None]:
    """Whether the picture is grey, and its colors unless a profile says them."""
    if reader.flag():
        return False, Colors()
    has_profile = reader.flag()
    space = reader.enumerated()
    if has_profile or space not in {RGB, GREY}:
        return space == GREY, None
    number = reader.enumerated()
    white = reader.point() if number == CUSTOM else WHITE_POINTS.get(number, D65)
    primaries = SRGB
    if space == RGB:
        number = reader.enumerated()
        if number == CUSTOM:
            primaries = (reader.point(), reader.point(), reader.point())
        else:
            primaries = PRIMARIES.get(number, SRGB)
    if reader.flag():
        inverse = max(1, reader.number(24)) / 1e7
        return space == GREY, Colors(space == GREY, white, primaries, gamma=1 / inverse)
    return space == GREY, Colors(space == GREY, white, primaries, reader.enumerated())
