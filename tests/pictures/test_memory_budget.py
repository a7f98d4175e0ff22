"""The memory that decoding may take (issue 21, line 47)."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import Busy, ImageCorrupt, ImageTooLarge
from app.pictures import decoding, formats, memory_budget
from app.pictures.decoding import decode
from app.pictures.memory_budget import MemoryBudget
from tests.fixtures.drawn_pictures import encoded, noise

SIDES = (4_000, 3_000)  # pixels
KINDS = ["AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"]
GROWTH = """
import re, sys
from pathlib import Path
from typing import Any
from app.pictures import memory_budget
from app.pictures.decoding import decode
from app.pictures.formats import read_jpeg_2000

read_jpeg_2000(True)

def resident(key):
    return int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

reserved = []
budget = memory_budget.DECODING_MEMORY
acquire = budget._acquire
budget._acquire = lambda size, last: (reserved.append(size), acquire(size, last))
decode(Path(sys.argv[1]).read_bytes(), 50)  # what a format's library needs once is loaded
data = Path(sys.argv[2]).read_bytes()
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
kept = decode(data, 50)
print(reserved[-1], resident("VmHWM") - before, resident("VmRSS") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the memory")
@pytest.mark.parametrize("kind", KINDS)
def test_no_format_takes_more_than_it_reserves(kind: str, tmp_path: Path) -> None:
    """And nothing but the reduced picture is kept."""
    formats._register_formats()
    options: dict[
        str, dict[str, Any]
    ] = {  # to encode fast: what decoding takes depends on the pixels alone
        "AVIF": {"speed": 10},
        "HEIF": {"enc_params": {"preset": "ultrafast"}},
        "PNG": {"compress_level": 1},
        "WEBP": {"method": 0},
    }
    large = noise(1, (40, 30)).resize(SIDES)
    for name, image in (("small", noise(1)), ("large", large)):
        (tmp_path / name).write_bytes(encoded(image, kind, **options.get(kind, {})))
    command = [sys.executable, "-c", GROWTH, str(tmp_path / "small"), str(tmp_path / "large")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    reserved, peak, kept = map(int, output.split())
    assert peak <= reserved
    assert kept < 40_000_000
    assert reserved < (28 if kind == "JPEG2000" else 20) * SIDES[0] * SIDES[1] + 60_000_000


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "L", "I;16", "F", "CMYK"])
def test_large_pictures_are_reduced_alike_in_every_mode(mode: str) -> None:
    smooth = noise(2, (20, 16)).resize((2_400, 2_100), Image.Resampling.BICUBIC)
    grey = smooth.convert("L")
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else None
    image = image or (grey if mode in {"F", "LA"} else smooth).convert(mode)
    picture = decode(encoded(image, "TIFF" if mode in {"F", "CMYK"} else "PNG"), 50)
    assert (picture.width, picture.height, picture.image.size) == (2_400, 2_100, (1_200, 1_050))
    expected = (smooth if mode in {"RGB", "RGBA", "CMYK"} else grey).convert("RGB").reduce(2)
    difference = np.asarray(picture.image).astype(int) - np.asarray(expected)
    assert np.abs(difference).max() <= (4 if mode == "CMYK" else 1)


def test_more_than_the_budget_waits_its_turn() -> None:
    budget = MemoryBudget(100)
    most, now, lock = [0], [0], threading.Lock()

    def work(size: int) -> None:
        with budget.reserve(size):
            with lock:
                now[0] += size
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.002)
            with lock:
                now[0] -= size

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(work, [60, 30, 45, 100, 1] * 20))
    assert 60 <= most[0] <= 100
    with budget.reserve(100):
        assert now == [0]


def test_a_request_that_waits_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_budget, "WAIT_SECONDS", 0.05)
    budget = MemoryBudget(100)
    with budget.reserve(60), pytest.raises(Busy, match="memory for decoding"), budget.reserve(50):
        pass
    with budget.reserve(100):  # who gave up holds nothing
        pass


def test_requests_go_before_background_work() -> None:
    budget = MemoryBudget(100)
    order: list[str] = []

    def work(name: str, *, is_background: bool) -> None:
        with budget.reserve(80, is_background=is_background):
            order.append(name)

    with ThreadPoolExecutor() as threads:
        with budget.reserve(80):
            job = threads.submit(work, "job", is_background=True)
            while not budget._waiting:
                threading.Event().wait(0.001)
            request = threads.submit(work, "request", is_background=False)
            while len(budget._waiting) < 2:
                threading.Event().wait(0.001)
        job.result(10)
        request.result(10)
    assert order == ["request", "job"]


def test_what_exceeds_the_whole_budget_is_refused_at_once() -> None:
    told = r"needs 2 MB .* 1 MB are allowed \(IMAGE_SEARCH_DECODING_MEMORY_MB"
    with pytest.raises(ImageTooLarge, match=told), MemoryBudget(1_000_000).reserve(1_500_000):
        pass


def test_a_damaged_picture_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = MemoryBudget(1_000_000_000)
    monkeypatch.setattr(decoding, "DECODING_MEMORY", budget)
    data = encoded(noise(1, (400, 300)), "PNG")
    for _ in range(3):
        with pytest.raises(ImageCorrupt):
            decode(data[: len(data) // 2], 50)
    with budget.reserve(1_000_000_000):
        pass
