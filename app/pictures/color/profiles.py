"""ICC profiles: a picture's colours as they are meant, in sRGB.

A profile says which colours a picture's numbers stand for (ICC.1:2022). Without the conversion a
red of Adobe RGB or Display P3 looks dull, to people and to the model.
"""

import io
import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, PngImagePlugin

PillowImage = Pillow.Image

MAX_PROFILE_BYTES = 4_000_000  # press profiles have up to 3 MB; a larger one is passed over
MAX_PROFILE_TAGS = 100  # usually 10 to 20
KEPT_CONVERSIONS = 8  # with their profiles; a library has few, and most are of some kilobytes
SAME_LEVELS = 2  # of 255: a profile that changes no color by more is sRGB under another name
LEAST_CONTRAST = 128  # levels between black and white; a profile with less is damaged
TEST_LEVELS = 9  # per channel, of the colors by which a profile is judged
HEADER = struct.Struct(">12x4s4s4s12x4s88xL")  # device class, color space, PCS, signature, tags
TAG = struct.Struct(">4sLL")  # signature, offset, bytes
PICTURE_CLASSES = {b"scnr", b"mntr", b"prtr", b"spac"}  # others describe no picture's colors
UNBOUNDED_TYPE = b"mpet"  # a chain of any number of steps, each taken for every color

SPACES = {"RGB": b"RGB ", "CMYK": b"CMYK", "L": b"GRAY"}
"""The modes in which pictures are converted, and the color space that a profile must have."""


@dataclass(frozen=True)
class SrgbConversion:
    """Converts pictures of the Pillow mode `mode` to RGB in sRGB."""

    mode: str
    transform: ImageCms.ImageCmsTransform

    def apply(self, image: PillowImage) -> PillowImage:
        """The picture, of mode `mode`, in sRGB; of an RGB picture the pixels are replaced."""
        in_place = image.mode == "RGB"
        converted = ImageCms.applyTransform(image, self.transform, inPlace=in_place)
        return image if converted is None else converted


def srgb_conversion(image: PillowImage) -> SrgbConversion | None:
    """What converts the picture to sRGB; None if it has no profile, or one to be passed over.

    Passed over are profiles of sRGB itself, those of another color space than the picture's, and
    damaged or oversized ones. Never raises.
    """
    if image.mode == "LAB":
        return _lab_conversion()
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile or len(profile) > MAX_PROFILE_BYTES:
        return None
    return _conversion(profile, _profile_mode(image.mode))


def _profile_mode(mode: str) -> str:
    if mode == "CMYK":
        return "CMYK"
    return "L" if mode[0] in "1LIF" else "RGB"


@lru_cache(KEPT_CONVERSIONS)
def _conversion(profile: bytes, mode: str) -> SrgbConversion | None:
    if not _is_plausible(profile, SPACES[mode]):
        return None
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        conversion = SrgbConversion(mode, _transform(opened, mode))
        tested = _test_colors(mode)
        before = np.asarray(tested.convert("RGB"), np.int16)  # a copy: converted in place below
        after = np.asarray(conversion.apply(tested), np.int16)
    except (ImageCms.PyCMSError, OSError, ValueError):  # damaged
        return None
    white, black = (after[0, 0], after[-1, -1]) if mode == "CMYK" else (after[-1, -1], after[0, 0])
    has_contrast = int((white - black).min()) >= LEAST_CONTRAST
    is_srgb = mode != "CMYK" and int(np.abs(after - before).max()) <= SAME_LEVELS
    return conversion if has_contrast and not is_srgb else None


def _is_plausible(profile: bytes, space: bytes) -> bool:
    """Whether the header is that of a picture's profile in `space`, of bounded complexity."""
    if len(profile) < HEADER.size:
        return False
    device_class, found, _, signature, count = HEADER.unpack_from(profile)
    if signature != b"acsp" or device_class not in PICTURE_CLASSES or found != space:
        return False
    end = HEADER.size + count * TAG.size
    if count > MAX_PROFILE_TAGS or end > len(profile):
        return False
    offsets = [offset for _, offset, _ in TAG.iter_unpack(profile[HEADER.size : end])]
    return not any(profile.startswith(UNBOUNDED_TYPE, offset) for offset in offsets)


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    """Relative colorimetric with black point compensation, as image editors show pictures."""
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


@lru_cache(1)
def _lab_conversion() -> SrgbConversion:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return SrgbConversion("LAB", _transform(lab, "LAB"))


def _test_colors(mode: str) -> PillowImage:
    """A picture of one row with colors from all over the mode's space, from all 0 to all 255."""
    levels = np.linspace(0, 255, TEST_LEVELS).round().astype(np.uint8)
    channels = len(mode) if mode != "L" else 1
    grid = np.stack(np.meshgrid(*[levels] * channels, indexing="ij"), axis=-1)
    return Pillow.frombytes(mode, (grid.size // channels, 1), grid.tobytes())


class ForgivingPngStream(PngImagePlugin.PngStream):
    """Pillow's reader of PNG chunks; a profile that it cannot unpack does not cost the picture."""

    def chunk_iCCP(self, pos: int, length: int) -> bytes:  # noqa: N802  # Pillow's name
        """The chunk's bytes; its profile is kept if it can be unpacked to at most 1 MB."""
        try:
            return super().chunk_iCCP(pos, length)
        except (ValueError, SyntaxError, IndexError):
            return self._bytes_at(pos, length)

    def _bytes_at(self, pos: int, length: int) -> bytes:
        if self.fp is None:
            return b""
        self.fp.seek(pos)
        return self.fp.read(length)


def forgive_png_profiles() -> None:
    """Let Pillow read PNG files with `ForgivingPngStream`; it has no other place for that."""
    PngImagePlugin.PngStream = ForgivingPngStream  # type: ignore[misc]
