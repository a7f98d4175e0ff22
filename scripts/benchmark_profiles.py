"""What ICC profiles cost in decoding: `make benchmark-profiles`.

For each format: the processor time to decode a picture without a profile, and how much more it
takes with one of sRGB, which is recognised, and with one that is converted.
"""

import io
import statistics
import time

import numpy as np
import pillow_heif
import typer
from PIL import Image, ImageCms

from app.pictures.decoding import decode

SIDES = (4_000, 3_000)  # pixels: a phone's picture
ROUNDS = 15  # of each, in turns; the median counts
MAX_MEGAPIXELS = 50
FORMATS = {
    "JPEG": {"quality": 90},
    "PNG": {"compress_level": 1},
    "WEBP": {"method": 0},
    "AVIF": {"speed": 10},
    "HEIF": {"quality": 60},
}
GAMMA = 2.2


def main() -> None:
    """Print a line for each format."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = {"none": None, "sRGB": srgb, "other": _with_gamma(srgb)}
    dots = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8)
    image = Image.fromarray(dots).resize(SIDES, Image.Resampling.BICUBIC)
    pillow_heif.register_heif_opener()
    for kind in FORMATS:
        files = {name: _encoded(image, kind, profile) for name, profile in profiles.items()}
        seconds: dict[str, list[float]] = {name: [] for name in files}
        for name, data in [*files.items()] * ROUNDS:
            began = time.process_time()
            decode(data, MAX_MEGAPIXELS)
            seconds[name].append(time.process_time() - began)
        ratios = {
            name: statistics.median(np.divide(times, seconds["none"]))
            for name, times in seconds.items()
        }
        print(
            f"{kind}: {statistics.median(seconds['none']) * 1000:.0f} ms without a profile, "
            f"{ratios['sRGB'] - 1:+.1%} with sRGB, {ratios['other'] - 1:+.1%} with another",
            flush=True,
        )


def _with_gamma(srgb: bytes) -> bytes:
    """The profile with a plain power for its curves, so that it has to be converted."""
    at = srgb.index(b"para")
    curve = b"para" + bytes(8) + round(GAMMA * 65536).to_bytes(4, "big")
    return srgb[:at] + curve + srgb[at + len(curve) :]


def _encoded(image: Image.Image, kind: str, profile: bytes | None) -> bytes:
    out = io.BytesIO()
    options = FORMATS[kind] if profile is None else {**FORMATS[kind], "icc_profile": profile}
    image.save(out, kind, **options)
    return out.getvalue()


if __name__ == "__main__":
    typer.run(main)
