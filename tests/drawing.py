"""Pictures made for tests."""

import io
from typing import Any

import numpy as np
from PIL import Image


def noise(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """A coarse pattern that no other seed gives."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(seed: int, size: tuple[int, int] = (96, 64)) -> bytes:
    """A PNG file that no other seed gives."""
    return encoded(noise(seed, size))
