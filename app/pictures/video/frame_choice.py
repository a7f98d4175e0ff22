"""Which frames of a video are decoded: those that stand for it, or those at given times."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.pictures.video.packets import NEAR, Frame, Reading, Survey

MAX_LOOKS = 2_000  # frames that are decoded to be compared with others
LOOK_SECONDS = 1.0  # between frames that are compared, at least
LOOKED_AT = (64, 36)  # pixels: width and height of what is compared
BINS = 4  # of each of red, green and blue
CHANGE = 0.25  # the share of pixels of other colors, from which there is another scene
FLAT = 4.0  # standard deviation of levels, below which a frame shows nothing


class FrameChoice:
    """Chooses frames where the scene changes, and at least one every `interval` seconds.

    Of most groups of pictures the key frame alone is decoded. A video that would have more than
    `most` frames has them further apart. One that shows nothing is chosen only if all are like it.
    """

    def __init__(self, reading: Reading, found: Survey, interval: float, most: int) -> None:
        self._reading, self._found, self._most = reading, found, most
        self._gap = max(LOOK_SECONDS, found.end / most, found.end / MAX_LOOKS)
        self._interval = max(interval, self._gap)
        self._group = -1
        self._is_whole = False  # the group is decoded as a whole
        self._kept = 0
        self._kept_at = self._looked_at = float("-inf")
        self._colors: NDArray[np.float64] | None = None  # of the last one that was kept
        self._flat: Frame | None = None
        reading.context.skip_frame = "NONREF"

    def frames(self) -> Iterator[Frame]:
        """The frames, in order."""
        for seconds, packet in self._reading.packets():
            yield from filter(self._takes, self._decoded(seconds, packet))
            if self._kept >= self._most:
                return
        yield from filter(self._takes, self._due(self._reading.rest() if self._is_whole else []))
        if not self._kept and self._flat is not None:
            yield self._flat

    def _decoded(self, seconds: float, packet: Any) -> list[Frame]:
        reading = self._reading
        if not packet.is_keyframe and self._group >= 0:
            return self._due(reading.decode(packet) if self._is_whole else [])
        before = self._due(reading.rest() if self._is_whole else [])
        self._group += 1
        self._is_whole = self._found.is_looked_through(self._group, self._interval, self._gap)
        if self._is_whole:
            return [*before, *self._due(reading.decode(packet))]
        if (
            self._found.end_of(self._group) < self._looked_at + self._gap
        ):  # the next is early enough
            return before
        return [*before, *reading.decode(packet), *reading.rest()]

    def _due(self, frames: list[Frame]) -> list[Frame]:
        """Those that are far enough from each other, and from the last one looked at."""
        found = []
        for one in frames:
            if one[0] >= self._looked_at + self._gap - NEAR:
                self._looked_at = one[0]
                found.append(one)
        return found

    def _takes(self, one: Frame) -> bool:
        """Whether the frame is kept."""
        seconds, frame = one
        self._looked_at = seconds
        if self._kept >= self._most or seconds < self._kept_at + self._gap - NEAR:
            return False
        levels = reduced(frame, *LOOKED_AT).to_ndarray()
        if levels.std(axis=(0, 1)).max() < FLAT:
            self._flat = self._flat or one
            return False
        colors = _colors(levels)
        is_other = self._colors is None or np.abs(colors - self._colors).sum() / 2 >= CHANGE
        if not is_other and seconds < self._kept_at + self._interval - NEAR:
            return False
        self._colors, self._kept_at, self._kept = colors, seconds, self._kept + 1
        return True


def reduced(frame: Any, width: int, height: int) -> Any:
    """The frame in RGB, of this size in pixels. With more threads, each call would start some."""
    options = {"format": "rgb24", "interpolation": "AREA", "threads": 1}
    return frame.reformat(width=width, height=height, **options)


def _colors(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The shares of the pixels (height, width, 3) by color, which a camera that turns keeps."""
    red, green, blue = (levels // (256 // BINS)).astype(np.int64).reshape(-1, 3).T
    counts = np.bincount((red * BINS + green) * BINS + blue, minlength=BINS**3)
    return counts / len(red)


def frames_at(reading: Reading, found: Survey, times: list[float]) -> Iterator[Frame]:
    """The frame that is shown at each of the times, which ascend, one for each."""
    wanted = deque(times)
    best: Frame | None = None
    for one in _near(reading, found, wanted):
        while wanted and best is not None and one[0] > wanted[0] + NEAR:
            wanted.popleft()
            yield best
        best = one
    while wanted and best is not None:
        wanted.popleft()
        yield best


def _near(reading: Reading, found: Survey, wanted: deque[float]) -> Iterator[Frame]:
    """The frames of the groups of pictures that have any of the times, while there are any."""
    group, is_open = -1, False
    for _, packet in reading.packets():
        if not wanted:
            return
        if packet.is_keyframe or group < 0:
            if is_open:
                yield from reading.rest()
            group += 1
            is_open = bool(wanted) and (group == 0 or wanted[0] < found.end_of(group) - NEAR)
        if is_open:
            yield from reading.decode(packet)
    if is_open:
        yield from reading.rest()
