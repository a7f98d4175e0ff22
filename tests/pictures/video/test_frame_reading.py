"""Frames of videos: which are chosen, when they are shown, how they look, what damage costs."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageCorrupt, ImageTooLarge, ImageUnsupported
from app.pictures.color.wide_color import PAPER_WHITE
from app.pictures.decoding import decode
from app.pictures.formats import SIGNATURE_BYTES, check_signature, media_type
from app.pictures.memory_budget import DECODING_MEMORY
from app.pictures.video import frame_reading
from app.pictures.video.containers import VIDEO_FORMATS, video_format
from app.pictures.video.frame_reading import (
    VideoEnd,
    VideoFrame,
    VideoRules,
    VideoTask,
    read_frames,
    read_videos,
)
from scripts.drawn_videos import Shape, film
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.extras import needs_video
from tests.fixtures.videos import reading_videos

pytestmark = needs_video
MEGAPIXELS = 50.0
SHAPES = {
    "MP4": Shape(),
    "MOV": Shape("mov", "mpeg4"),
    "WEBM": Shape("webm", "libvpx-vp9", codec_options={"deadline": "realtime", "cpu-used": "8"}),
    "MKV": Shape("matroska", "libx265", "yuv420p10le"),
    "MPEGTS": Shape("mpegts", "libx264"),
}
RED, GREEN, BLUE, GREY = (220, 40, 40), (40, 180, 60), (40, 60, 220), (150, 150, 150)
IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
TURNS = {  # Exif's numbers: a, b, c and d of the display matrix
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip


@pytest.fixture(autouse=True)
def videos() -> Iterator[None]:
    with reading_videos():
        yield


def plain(color: tuple[int, int, int]) -> Image.Image:
    """A picture mostly of one color, with something on it."""
    image = Image.new("RGB", (192, 144), color)
    image.paste(noise(sum(color), (48, 36)))
    return image


SCENES = ((plain(RED), 3.0), (plain(GREEN), 4.0), (plain(BLUE), 3.0))
BEGIN = [0.0, 3.0, 7.0]


def read(data: bytes, **task: Any) -> tuple[list[VideoFrame], VideoEnd]:
    kind = video_format(data[:SIGNATURE_BYTES])
    assert kind is not None
    *frames, end = read_frames(data, kind, VideoTask(**{"side": 256, **task}), MEGAPIXELS)
    assert isinstance(end, VideoEnd)
    return [one for one in frames if isinstance(one, VideoFrame)], end


def color(frame: VideoFrame) -> np.ndarray[Any, Any]:
    """The median color of a frame."""
    found: np.ndarray[Any, Any] = np.median(np.asarray(frame.image), axis=(0, 1))
    return found


def difference(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("kind", sorted(VIDEO_FORMATS))
def test_a_frame_of_each_scene_is_chosen_at_its_second(kind: str) -> None:
    data = film(SCENES, SHAPES[kind])
    assert media_type(io.BytesIO(data)) == VIDEO_FORMATS[kind][0]
    check_signature(data[:SIGNATURE_BYTES])
    frames, end = read(data)
    assert [one.seconds for one in frames] == pytest.approx(BEGIN, abs=1.0)
    for frame, wanted in zip(frames, (RED, GREEN, BLUE), strict=True):
        assert difference(color(frame), wanted) < 8
        assert (frame.width, frame.height) == (192, 144)
    assert end.duration == pytest.approx(10, abs=0.2)
    assert (end.frames, end.fault) == (100, None)
    again, _ = read(data, times=[one.seconds for one in frames])
    assert [one.seconds for one in again] == [one.seconds for one in frames]
    assert all(one.image == other.image for one, other in zip(again, frames, strict=True))
    picture = decode(data, MEGAPIXELS, 256, seconds=7.55)
    assert picture.format == kind
    assert picture.seconds == pytest.approx(7.5, abs=0.06), "the frame that is shown then"
    assert difference(np.median(np.asarray(picture.image), axis=(0, 1)), BLUE) < 8


def test_a_scene_that_stays_has_a_frame_in_each_interval_and_long_videos_fewer() -> None:
    data = film([(plain(RED), 25.0)], Shape(rate=4, codec_options={"g": "1000"}))
    assert [one.seconds for one in read(data)[0]] == [0, 10, 20]
    with reading_videos(VideoRules(5, 300)):
        assert [one.seconds for one in read(data)[0]] == [0, 5, 10, 15, 20]
    with reading_videos(VideoRules(5, 2)):
        assert [one.seconds for one in read(data)[0]] == [0, 12.5]
    flashing = film([(plain((RED, BLUE)[n % 2]), 1.0) for n in range(30)], Shape(rate=4))
    with reading_videos(VideoRules(10, 7)):
        found = [one.seconds for one in read(flashing)[0]]
    assert len(found) <= 7
    assert found[-1] > 15, "they are spread over the whole video"


def test_frames_that_show_nothing_are_chosen_only_if_all_are_like_them() -> None:
    black = Image.new("RGB", (32, 24))
    frames, _ = read(film([(black, 2.0), (plain(GREEN), 2.0)]))
    assert [one.seconds for one in frames] == pytest.approx([2.0], abs=1.0)
    assert [one.seconds for one in read(film([(black, 3.0)]))[0]] == [0]


@pytest.mark.parametrize("turn", sorted(TURNS))
def test_frames_are_turned_and_mirrored_as_the_file_says(turn: int) -> None:
    stored = Image.new("RGB", (192, 144), GREY)
    stored.paste(RED, (0, 0, 96, 72))
    stored.paste(GREEN, (96, 0, 192, 72))
    stored.paste(BLUE, (0, 72, 96, 144))
    a, b, c, d = (entry << 16 for entry in TURNS[turn])
    (frame,), _ = read(film([(stored, 0.3)], matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30)))
    exif = Image.Exif()
    exif[0x0112] = turn
    packed = io.BytesIO()
    stored.save(packed, "PNG", exif=exif)
    wanted = decode(packed.getvalue(), MEGAPIXELS).image
    assert frame.image.size == wanted.size == (frame.width, frame.height)
    assert difference(frame.image, wanted) < 6


def test_times_are_those_of_presentation_whatever_the_rate_and_the_start() -> None:
    for shape in (Shape(), SHAPES["MPEGTS"], SHAPES["WEBM"], Shape("matroska")):
        late, end = read(film(SCENES, shape, start=30.0))
        assert [one.seconds for one in late] == pytest.approx(BEGIN, abs=1.0), shape
        assert end.duration == pytest.approx(10, abs=0.2)
    changing = variable_rate([(RED, 0.0), (GREEN, 0.1), (BLUE, 6.0), (GREY, 6.5), (RED, 20.0)])
    frames, _ = read(changing, times=[0.05, 3.0, 6.2, 19.9, 20.0])
    for frame, wanted in zip(frames, (RED, GREEN, BLUE, GREY, RED), strict=True):
        assert difference(color(frame), wanted) < 10
    assert [one.seconds for one in frames] == [0, 0.1, 6, 6.5, 20]


def variable_rate(shown: list[tuple[tuple[int, int, int], float]]) -> bytes:
    """A frame of each color at its second, and none between."""
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream: Any = target.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for one, seconds in shown:
            frame = av.VideoFrame.from_ndarray(np.asarray(plain(one).resize((64, 48))), "rgb24")
            frame.pts = round(seconds * 10)
            target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return out.getvalue()


def test_a_high_dynamic_range_looks_as_it_is_meant_to() -> None:
    """The colors of stills in HDR, which have tests of their own, from 10 bits of PQ."""
    import av

    levels = np.full((48, 64, 3), 0.5806889 * 65535, np.uint16)  # the signal of paper white
    levels[:, 32:] = 0.4402816 * 65535  # of a quarter of that: 203 / 4 cd/m²
    frame = av.VideoFrame.from_ndarray(levels, "rgb48le")
    small = frame.reformat(format="yuv420p10le", dst_colorspace=9)
    small.color_trc, small.color_primaries, small.colorspace = 16, 9, 9
    out = io.BytesIO()
    params = "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    with av.open(out, "w", format="mp4") as target:
        stream: Any = target.add_stream("libx265", rate=10, options={"x265-params": params})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        small.pts = 0
        target.mux(stream.encode(small))
        target.mux(stream.encode())
    (found,), _ = read(out.getvalue())
    seen = np.asarray(found.image).astype(int)
    assert PAPER_WHITE == 203
    assert abs(int(np.median(seen[:, 4:28])) - 255) <= 4, "paper white is white"
    assert abs(int(np.median(seen[:, 36:60])) - 137) <= 6, "a quarter of its light"


def test_wide_pixels_are_shown_wide_and_colors_by_the_matrix_of_the_file() -> None:
    from fractions import Fraction

    wide = film([(plain(GREEN), 0.3)], size_aspect := Shape(), sample_aspect_ratio=Fraction(16, 9))
    (frame,), _ = read(wide)
    assert (frame.width, frame.height) == (341, 144), size_aspect
    assert frame.image.size == (341, 144)


def index_first(data: bytes, folder: Path) -> bytes:
    """The same MP4 with its index at its beginning, as it is made for the web."""
    import av

    place = folder / "web.mp4"
    web = {"movflags": "faststart"}
    source: Any = av.open(io.BytesIO(data))
    with source, av.open(place, "w", container_options=web) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return place.read_bytes()


def test_what_was_decoded_before_a_cut_counts_and_the_rest_is_said(tmp_path: Path) -> None:
    scenes = [(noise(n, (192, 144)), 3.0) for n in range(4)]
    for shape in (Shape(), SHAPES["WEBM"], SHAPES["MKV"], SHAPES["MPEGTS"]):
        whole = film(scenes, shape)
        whole = index_first(whole, tmp_path) if shape.container == "mp4" else whole
        frames, end = read(whole[: len(whole) * 6 // 10])
        assert [one.seconds for one in frames][:2] == pytest.approx([0, 3], abs=1.0), shape
        assert len(frames) <= 3
        assert end.duration < 10
        if shape.container != "mpegts":  # which does not say how long it is
            assert end.fault, shape
            assert "cut off" in end.fault
    late = film(scenes)
    with pytest.raises(ImageCorrupt, match="its index at its end is cut off"):
        read(late[: len(late) * 6 // 10])


def test_damage_within_a_video_costs_no_more_than_its_place() -> None:
    whole = film([(noise(n, (192, 144)), 3.0) for n in range(4)], SHAPES["MPEGTS"])
    middle = len(whole) // 2
    damaged = whole[: middle - 2_000] + os.urandom(4_000) + whole[middle + 2_000 :]
    frames, _ = read(damaged)
    assert frames[0].seconds < 1
    assert frames[-1].seconds > 8


def test_streams_that_do_not_say_their_length_are_read_to_their_end() -> None:
    live = Shape("matroska", container_options={"live": "1"})
    frames, end = read(film(SCENES, live))
    assert [one.seconds for one in frames] == pytest.approx(BEGIN, abs=1.0)
    assert end.duration == pytest.approx(10, abs=0.2)
    assert end.fault is None


def test_hostile_files_are_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    good = film(SCENES)
    for data in (
        good[:600],
        good[:64] + os.urandom(5_000),
        b"\x1a\x45\xdf\xa3" + os.urandom(5_000),
        (b"\x47" + bytes(187)) * 50,
        b"\0\0\0\x20ftypisom" + b"\xff" * 2_000,
    ):
        with pytest.raises(ImageCorrupt, match=r"^The video cannot be read: .*\.$"):
            read(data)
    with pytest.raises(ImageCorrupt, match="more than are allowed"):
        list(read_frames(good, "MP4", VideoTask(64), 0.01))
    with pytest.raises(ImageUnsupported, match="one of these formats"):
        check_signature(b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nfile:///etc/passwd\n")
    monkeypatch.setattr(frame_reading, "PROCESS_BYTES", 1_000_000)
    # FFmpeg may end by a signal where it gets no memory, before Python can tell why.
    with pytest.raises(ImageCorrupt, match=r"too much (time or )?memory"):
        read(good)
    DECODING_MEMORY.set_limit(500_000)
    try:
        with pytest.raises(ImageTooLarge, match="DECODING_MEMORY_MB"):
            read(good)
    finally:
        DECODING_MEMORY.set_limit(1_000_000_000)


def test_a_video_that_takes_too_long_counts_as_far_as_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenes = [(noise(n, (320, 240)), 3.0) for n in range(60)]
    long = film(scenes, Shape(rate=4, size=(640, 480), codec_options={"preset": "ultrafast"}))
    monkeypatch.setattr(frame_reading, "MAX_PROCESSOR_SECONDS", 1)
    frames, end = read(long, side=1024)
    assert 0 < len(frames) <= len(scenes)
    if len(frames) < len(scenes) - 1:
        assert end.fault


def test_a_video_is_refused_where_none_are_read_and_the_refusal_says_what_to_do() -> None:
    data = film([(plain(RED), 0.3)])
    read_videos(None)
    for look in (lambda: check_signature(data[:SIGNATURE_BYTES]), lambda: decode(data, 50)):
        with pytest.raises(ImageUnsupported, match="IMAGE_SEARCH_READ_VIDEO is true"):
            look()
