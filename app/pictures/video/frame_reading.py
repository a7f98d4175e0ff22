"""Frames of videos, decoded in a process of its own that may take only so much time and memory.

A decoder takes as much of both as a file demands, and has faults: in a process of its own neither
costs more than the video. What was decoded before it ended counts.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from app.errors import ImageCorrupt, ImageUnsupported
from app.pictures.color.coding_points import CodingPoints
from app.pictures.color.wide_color import light_conversion
from app.pictures.memory_budget import DECODING_MEMORY
from app.pictures.orientation import SIDEWAYS, upright
from app.pictures.video.containers import DEMUXERS

PACKAGE = "av"
ROOT = str(Path(__file__).parents[3])
PROGRAM = (
    f"import sys; sys.path.insert(0, {ROOT!r}); "
    "from app.pictures.video.decoding_process import main; main()"
)
MAX_VIDEO_FRAMES = 1_000  # of a video that any setting allows; higher numbers are of regions
PROCESS_BYTES = 600_000_000  # of the process, with Python, beside the file
MAX_PROCESSOR_SECONDS = 300  # for a video; then what was decoded counts
MAX_SECONDS = 900  # the same by the clock
SHORT_SECONDS = 1.0  # by which a video may be shorter than it says
KEPT = ("PATH", "LD_LIBRARY_PATH")  # of our environment, which has secrets
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of numpy, which starts sooner


@dataclass(frozen=True)
class VideoRules:
    """Which frames stand for a video: those of other scenes, and one every `interval` seconds.

    They are at most `max_frames`: of a longer video, those are further apart.
    """

    interval: float = 10.0
    max_frames: int = 300


@dataclass(frozen=True)
class VideoTask:
    """What is wanted of a video: the frames at these times, in seconds, or those that stand for it.

    At most `limit`, and each with its shorter side reduced to `side` pixels.
    """

    side: int
    times: Sequence[float] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class VideoFrame:
    """A frame as it is shown, in sRGB; `seconds` are from the beginning of the video.

    `width` and `height` are those of the whole frame, in pixels.
    """

    seconds: float
    image: Pillow.Image
    width: int
    height: int


@dataclass(frozen=True)
class VideoEnd:
    """What is known of a video when it was read: its length, its frames, its container's tags.

    `fault` says what of it could not be read.
    """

    duration: float  # seconds
    frames: int
    tags: dict[str, str] = field(default_factory=dict)
    fault: str | None = None


@dataclass
class _Reader:
    """How videos are read in this process; None: they are refused."""

    rules: VideoRules | None = None


_reader = _Reader()


def read_videos(rules: VideoRules | None) -> None:
    """Say how this process reads videos; it does not unless told to."""
    _reader.rules = rules


def is_installed() -> bool:
    """Whether the extra `video` is installed."""
    return find_spec(PACKAGE) is not None  # does not import it


def reads_videos() -> bool:
    """Whether this process reads videos."""
    return _reader.rules is not None and is_installed()


def video_rules() -> str:
    """What a refusal of a video depends on."""
    return str(_reader.rules) if reads_videos() else "no videos"


def check_read() -> None:
    """Raise ImageUnsupported if this process does not read videos."""
    if not is_installed():
        raise ImageUnsupported(
            "This is a video, and not a picture: it is read where the extra video is installed "
            f"(the Python package {PACKAGE}) and IMAGE_SEARCH_READ_VIDEO is true."
        )
    if not reads_videos():
        raise ImageUnsupported(
            "This is a video, and not a picture: it is read where IMAGE_SEARCH_READ_VIDEO is true."
        )


def read_frames(
    data: bytes, kind: str, task: VideoTask, max_megapixels: float, *, is_background: bool = False
) -> Iterator[VideoFrame | VideoEnd]:
    """The frames of the video `data` of a format `kind` of VIDEO_FORMATS; what is known comes last.

    Raises ImageUnsupported, ImageCorrupt, ImageTooLarge, Busy.
    """
    check_read()
    rules = _reader.rules or VideoRules()
    told = {
        **asdict(task),
        "demuxer": DEMUXERS[kind],
        "interval": rules.interval,
        "most": rules.max_frames,
        "pixels": int(max_megapixels * 1e6),
        "memory": PROCESS_BYTES + 2 * len(data),
        "seconds": MAX_PROCESSOR_SECONDS,
    }
    needed = PROCESS_BYTES + len(data)
    with DECODING_MEMORY.reserve(needed, is_background=is_background), _process(told) as process:
        yield from _written(process, data)


def read_video_frame(
    data: bytes, kind: str, task: VideoTask, max_megapixels: float, *, is_background: bool = False
) -> tuple[VideoFrame, VideoEnd]:
    """The first of these frames, and what is known of the video. Raises as `read_frames`."""
    frame: VideoFrame | None = None
    for one in read_frames(data, kind, task, max_megapixels, is_background=is_background):
        if isinstance(one, VideoEnd) and frame is not None:
            return frame, one
        frame = one if isinstance(one, VideoFrame) and frame is None else frame
    raise ImageCorrupt("The video cannot be read: none of its frames can be decoded.")


@contextmanager
def _process(told: dict[str, Any]) -> "Iterator[subprocess.Popen[bytes]]":
    """The process that decodes; it ends when the caller has enough, or after MAX_SECONDS."""
    process = subprocess.Popen(  # noqa: S603  # this interpreter, and a program of ours
        [sys.executable, "-I", "-c", PROGRAM, json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,  # to stop us at a terminal must not look like damage
        env=ONE_THREAD | {name: os.environ[name] for name in KEPT if name in os.environ},
    )
    limit = threading.Timer(MAX_SECONDS, process.kill)
    limit.daemon = True
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what it has not taken
                    pipe.close()
        process.wait()


def _written(process: "subprocess.Popen[bytes]", data: bytes) -> Iterator[VideoFrame | VideoEnd]:
    """What the process writes, of which the pixels are read one frame at a time."""
    source, sink = process.stdout, process.stdin
    if source is None or sink is None:
        raise ImageCorrupt("The video cannot be read.")
    with suppress(BrokenPipeError):  # it has ended
        sink.write(data)
        sink.close()
    last: VideoFrame | None = None
    while line := source.readline():
        said = json.loads(line)
        if "error" in said:
            raise ImageCorrupt(f"The video cannot be read: {said['error']}.")
        if "bytes" not in said:
            yield _end(said)
            return
        pixels = source.read(said["bytes"])
        if len(pixels) < said["bytes"]:
            break
        last = _frame(said, pixels)
        yield last
    reason = "its decoder took too much time or memory, or failed"
    if last is None:
        raise ImageCorrupt(f"The video cannot be read: {reason}.")
    yield VideoEnd(last.seconds, 0, {}, f"Read up to {last.seconds:.1f} s: {reason}.")


def _frame(said: dict[str, Any], pixels: bytes) -> VideoFrame:
    """The frame, turned upright, its colors converted to sRGB."""
    image = Pillow.frombytes("RGB", tuple(said["size"]), pixels)
    conversion = light_conversion(CodingPoints(said["primaries"], said["transfer"]))
    image = upright(conversion.apply(image) if conversion else image, said["orientation"])
    width, height = said["full"]
    if said["orientation"] in SIDEWAYS:
        width, height = height, width
    return VideoFrame(said["seconds"], image, width, height)


def _end(said: dict[str, Any]) -> VideoEnd:
    duration, told, fault = said["duration"], said["told"], None
    if said["is_late"]:
        fault = f"Reading the video was stopped after {MAX_PROCESSOR_SECONDS} s of processor time."
    elif told is not None and told > duration + SHORT_SECONDS:
        fault = f"The video is cut off: {duration:.1f} s of {told:.1f} s are there."
    elif said["faults"]:
        fault = f"Parts of the video are damaged and were left out: {said['faults']}."
    tags = {name: value for name, value in said["tags"].items() if isinstance(value, str)}
    return VideoEnd(duration, said["frames"], tags, fault)
