"""Videos drawn from pictures: one scene after the other, encoded by PyAV."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

RATE = 10  # frames a second
SIZE = (192, 144)  # pixels: width and height
WINDOW = 0.85  # of a picture's width that is seen at a time where the camera turns
QUIET = {"libx265": {"x265-params": "log-level=none"}, "libsvtav1": {"svtav1-params": "rc=0"}}

Scene = tuple[Image.Image, float]
"""A picture, and for how many seconds it is shown."""


@dataclass(frozen=True)
class Shape:
    """How a video is encoded, by FFmpeg's names; `rate` is in frames a second, `size` in pixels."""

    container: str = "mp4"
    codec: str = "libx264"
    pixels: str = "yuv420p"
    rate: int = RATE
    size: tuple[int, int] = SIZE
    codec_options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)


MP4 = Shape()


def film(
    scenes: Sequence[Scene],
    shape: Shape = MP4,
    *,
    turning: bool = False,
    start: float = 0.0,
    matrix: Sequence[int] | None = None,
    **context: Any,
) -> bytes:
    """The scenes one after the other, from `start` seconds on.

    The camera may turn from left to right. `matrix` is FFmpeg's display matrix; `context` are
    attributes of the encoder.
    """
    import av

    out, codec, size, rate = io.BytesIO(), shape.codec, shape.size, shape.rate
    options = dict(shape.container_options)
    with av.open(out, "w", format=shape.container, container_options=options) as target:
        options = {**QUIET.get(codec, {}), **shape.codec_options}
        stream: Any = target.add_stream(codec, rate=rate, options=options)
        (stream.width, stream.height), stream.pix_fmt = size, shape.pixels
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        number = round(start * rate)
        for picture, seconds in scenes:
            count = round(seconds * rate)
            for n in range(count):
                frame = av.VideoFrame.from_ndarray(
                    _seen(picture, size, turning, n / count), "rgb24"
                )
                frame.pts, number = number, number + 1
                target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return out.getvalue()


def _seen(picture: Image.Image, size: tuple[int, int], turning: bool, share: float) -> Any:
    """The frame that is seen after a share of the scene's time, uint8 (height, width, 3)."""
    whole = picture.convert("RGB")
    if turning:
        width = WINDOW * whole.width
        left = (whole.width - width) * share
        return np.asarray(whole.resize(size, box=(left, 0, left + width, whole.height)))
    return np.asarray(whole.resize(size))
