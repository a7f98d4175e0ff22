"""The program of a process that decodes frames of the video on its standard input, and ends.

Its argument is the JSON of what `frame_reading.py` wants. For each frame it writes a line of JSON
and then the bytes of its pixels; at the end a line with what is known of the video, or with `error`
where nothing could be decoded.

The packets are read twice: to learn where the groups of pictures begin and end, then to decode what
is needed of them.
"""

import json
import resource
import sys
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import av
import numpy as np
from av.sidedata.sidedata import Type

from app.pictures.video.frame_choice import FrameChoice, frames_at, reduced
from app.pictures.video.packets import Reading, survey

UPRIGHT = {(0, 0): 1, (1, 0): 2, (1, 1): 3, (0, 1): 4}
SIDEWAYS = {(0, 0): 5, (0, 1): 6, (1, 1): 7, (1, 0): 8}
"""The Exif orientation by which entries of a display matrix are negative: a and d, or b and c."""


def run(task: dict[str, Any], data: bytes, out: BinaryIO) -> dict[str, Any]:
    """Write the frames; returns what is told at the end."""
    found = survey(data, task)
    if not found.groups:
        raise ValueError("it has no frames")
    reading, times, written = Reading(data, task), task["times"], 0
    width, height = reading.context.width, reading.context.height
    if width * height > task["pixels"]:
        raise ValueError(f"its frames have {width} × {height} pixels, more than are allowed")
    choice = FrameChoice(reading, found, task["interval"], task["most"]) if times is None else None
    frames = choice.frames() if choice else frames_at(reading, found, times)
    turned = 1
    for seconds, frame in islice(frames, task["limit"]):
        turned = turned if written else orientation(frame)  # PyAV leaks frames that are asked
        write(out, seconds, frame, Shown(turned, reading.stream.sample_aspect_ratio, task["side"]))
        written += 1
    if not written:
        raise ValueError("none of its frames can be decoded")
    told = reading.container.duration
    return {
        "duration": found.end,
        "frames": found.packets,
        "faults": found.faults + reading.faults,
        "told": None if told is None else told / av.time_base,
        "is_late": reading.is_late,
        "tags": {**reading.container.metadata, **reading.stream.metadata},
    }


@dataclass(frozen=True)
class Shown:
    """How frames are shown: turned as in Exif, pixels of an aspect, the shorter side in pixels."""

    orientation: int
    aspect: Any
    side: int


def write(out: BinaryIO, seconds: float, frame: Any, shown: Shown) -> None:
    """Write a frame, reduced, and how it is to be turned."""
    width, height = max(1, round(frame.width * float(shown.aspect or 1))), frame.height
    factor = min(1.0, shown.side / min(width, height))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = reduced(frame, *size)
    pixels = small.to_ndarray().tobytes()
    line = {
        "seconds": round(seconds, 3),
        "size": size,
        "full": (width, height),
        "orientation": shown.orientation,
        "primaries": int(frame.color_primaries),
        "transfer": int(frame.color_trc),
        "bytes": len(pixels),
    }
    out.write(json.dumps(line).encode() + b"\n" + pixels)
    out.flush()


def orientation(frame: Any) -> int:
    """How a frame is to be turned and mirrored, as in Exif, by its display matrix.

    The point (x, y) is shown at (ax + cy, bx + dy). PyAV's `rotation` knows no mirroring.
    """
    matrix = next((one for one in frame.side_data if one.type == Type.DISPLAYMATRIX), None)
    if matrix is None:
        return 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return UPRIGHT[(a < 0, d < 0)]
    return SIDEWAYS[(b < 0, c < 0)]


def main() -> None:
    """Read, decode, write."""
    task = json.loads(sys.argv[1])
    _limit(resource.RLIMIT_DATA, task["memory"])
    _limit(resource.RLIMIT_CPU, 2 * task["seconds"])  # where one packet takes for ever
    av.logging.set_level(None)
    try:
        told = run(task, sys.stdin.buffer.read(), sys.stdout.buffer)
    except Exception as error:  # noqa: BLE001  # whatever a decoder raises is told
        lacks_memory = isinstance(
            error, MemoryError | ImportError
        )  # of a library that is loaded late
        reason = "it needs too much memory" if lacks_memory else str(error)
        told = {"error": reason or type(error).__name__}
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")


def _limit(what: int, most: int) -> None:
    """Set a limit of this process, unless it has a lower one already."""
    _, hard = resource.getrlimit(what)
    soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (soft, hard))
