"""The packets of a video and the frames that they decode to, in the process that decodes.

It never seeks: where a seek lands depends on the container, and the file is in memory anyway. Times
are the presentation times of packets and frames, never numbers divided by a rate.
"""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np

CODECS = {
    "av1", "dnxhd", "ffv1", "h263", "h264", "hevc", "libaom-av1", "libdav1d", "mjpeg",
    "mpeg1video", "mpeg2video", "mpeg4", "prores", "vp8", "vp9",
}  # fmt: skip
MAX_PACKETS = 2_000_000  # looked at: 9 hours at 60 frames a second
MAX_SECONDS = 6 * 3600  # into a video; what is later is not looked at
MAX_FAULTS = 200  # of a container or decoder, before the rest is given up
NEAR = 0.001  # seconds: times are told in milliseconds
SURGE_OF_KEY, SURGE = 0.3, 5.0  # times a key frame, and the median: what may be another scene

Frame = tuple[float, Any]
"""When a frame is shown, in seconds from the beginning, and the frame."""


class Reading:
    """One pass over the packets of the first video stream, from its beginning."""

    def __init__(self, data: bytes, task: dict[str, Any]) -> None:
        try:
            opened: Any = av.open(io.BytesIO(data), format=task["demuxer"])
        except av.error.InvalidDataError:
            raise ValueError("it is damaged, or its index at its end is cut off") from None
        self.container = opened
        streams: list[Any] = [one for one in opened.streams.video if not _is_cover(one)]
        if not streams:
            raise ValueError("it has no video stream")
        self.stream = streams[0]
        self.context = self.stream.codec_context
        if self.context is None or self.context.name not in CODECS:
            name = self.context.name if self.context else "unknown"
            raise ValueError(f"its codec is not read: {name}")
        self.context.thread_count = 1
        self.faults = 0
        self.is_late = False  # it took longer than it may, and what follows is not read
        self._processor_seconds = task["seconds"]
        self._start = (opened.start_time or 0) / av.time_base

    def packets(self) -> Iterator[Frame]:
        """The packets that hold frames, with their times, past damaged places."""
        number = 0
        while self.faults < MAX_FAULTS:
            try:
                for packet in self.container.demux(self.stream):
                    number += 1
                    self.is_late = time.process_time() > self._processor_seconds
                    if self.is_late or number > MAX_PACKETS:
                        return
                    stamp = packet.dts if packet.pts is None else packet.pts
                    if packet.size and stamp is not None:
                        yield self._at(stamp), packet
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.faults += 1
            else:
                return

    def decode(self, packet: Any) -> list[Frame]:
        """The frames that come out; a packet of None asks for those that are left."""
        try:
            frames = self.context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.faults += 1
            return []
        # Frames that were left in a decoder know no time base of their own.
        whole = (one for one in frames if one.pts is not None and not one.is_corrupt)
        return [(self._at(one.pts), one) for one in whole]

    def rest(self) -> list[Frame]:
        """The frames that the decoder still holds; it is ready for another group then."""
        found = self.decode(None)
        self.context.flush_buffers()
        return found

    def _at(self, stamp: int) -> float:
        return max(0.0, float(stamp * self.stream.time_base) - self._start)


def _is_cover(stream: Any) -> bool:
    """Whether a stream is a picture of the cover."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


@dataclass
class Group:
    """A group of pictures: when it begins, in seconds, and what its packets weigh, in bytes."""

    start: float
    key: int
    others: list[int] = field(default_factory=list)  # of those after the key frame
    heaviest: int = 0
    usual: float = 0.0  # their median

    def close(self) -> None:
        """Sum up its packets."""
        self.heaviest, self.usual = max(self.others, default=0), float(np.median(self.others or 0))
        self.others.clear()


@dataclass
class Survey:
    """The groups of pictures, and where the last one ends, in seconds."""

    groups: list[Group] = field(default_factory=list)
    end: float = 0.0
    packets: int = 0
    faults: int = 0

    def end_of(self, group: int) -> float:
        """Where a group ends: where the next one begins."""
        following = self.groups[group + 1 : group + 2]
        return following[0].start if following else self.end

    def is_looked_through(self, group: int, interval: float, gap: float) -> bool:
        """Whether the key frame of a group does not stand for all of it.

        Encoders put key frames where the scene changes, if they look for that. If they do not,
        the frame at the change weighs much more than others, or about as much as a key frame.
        """
        one = self.groups[group]
        length = self.end_of(group) - one.start
        least = min(SURGE_OF_KEY * one.key, SURGE * one.usual)
        return length > interval or (length > 2 * gap and one.heaviest > least)


def survey(data: bytes, task: dict[str, Any]) -> Survey:
    """Where the groups of pictures begin and end. Nothing is decoded."""
    reading, found = Reading(data, task), Survey()
    for seconds, packet in reading.packets():
        if seconds > MAX_SECONDS:
            continue
        found.packets += 1
        if packet.is_keyframe or not found.groups:
            if found.groups:
                found.groups[-1].close()
            found.groups.append(Group(seconds, packet.size))
        else:
            found.groups[-1].others.append(packet.size)
        length = float((packet.duration or 0) * packet.time_base)
        found.end = max(found.end, seconds + min(length, 1.0))
    if found.groups:
        found.groups[-1].close()
    found.faults = reading.faults
    return found
