"""Generated photographs, with the spectrum, size and bytes of real ones but without content.

The amplitudes of natural pictures fall as 1/f; as a JPEG, noise of that kind has the size and the
decoding time of a photograph. Colours vary less than brightness.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SEED = 7
WIDTH, HEIGHT = 500, 375  # pixels; a third stands upright
UPRIGHT = 3  # every third
FALL = (0.85, 1.35)  # range of the exponent of 1/f, from foliage to sky
CONTRAST = (35.0, 70.0)  # range of the standard deviation of brightness, out of 255
COLOUR = 0.3  # standard deviation of the colours, relative to that
QUALITY = 88  # of the JPEG
MIDDLE = 128.0  # mean of each channel, out of 255
NAME = f"photographs-{SEED}-{QUALITY}"  # name of their folder
# From brightness and two colour differences to red, green and blue, as in JPEG.
TO_RGB = np.array([[1.0, 0.0, 1.402], [1.0, -0.344, -0.714], [1.0, 1.772, 0.0]])


def photographs(folder: Path, count: int) -> list[Path]:
    """The paths of `count` generated photographs in `folder`; existing ones are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{n:05}.jpg" for n in range(count)]
    for n, path in enumerate(paths):
        if not path.exists():
            part = path.with_suffix(".part")
            photograph(n).save(part, "JPEG", quality=QUALITY)
            part.rename(path)
    return paths


def photograph(number: int) -> Image.Image:
    """An RGB picture, always the same for the same number."""
    rng = np.random.default_rng((SEED, number))
    size = (WIDTH, HEIGHT) if number % UPRIGHT == 0 else (HEIGHT, WIDTH)
    fall = rng.uniform(*FALL)
    contrast = rng.uniform(*CONTRAST)
    planes = np.stack([_field(rng, size, fall) for _ in range(3)], axis=-1)
    planes *= contrast * np.array([1.0, COLOUR, COLOUR])
    pixels = planes @ TO_RGB.T + MIDDLE
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _field(rng: np.random.Generator, size: tuple[int, int], fall: float) -> NDArray[np.float64]:
    """Noise of shape `size`, mean 0 and standard deviation 1, its amplitudes like 1/f**fall."""
    spectrum = np.fft.rfft2(rng.standard_normal(size))
    down = np.fft.fftfreq(size[0])[:, None]
    across = np.fft.rfftfreq(size[1])[None, :]
    frequency = np.hypot(down, across)
    frequency[0, 0] = np.inf  # no mean
    field = np.fft.irfft2(spectrum / frequency**fall, size)
    return np.asarray(field / field.std())


def given(folder: Path, count: int) -> list[Path]:
    """The first `count` JPEGs below the user's folder, sorted by path; all if it has fewer.

    Raises ValueError if there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    if not found:
        raise ValueError(f"{folder} holds no JPEG.")
    return found[:count]
