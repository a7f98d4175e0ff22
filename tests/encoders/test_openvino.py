"""CLIP's towers in OpenVINO: the same vectors, converted once, whole or not at all, and silent."""

import logging
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.encoders.encoder import OpenClipEncoder
from app.encoders.openvino import IMAGE, TEXT
from app.encoders.torch_models import conversion, openclip
from app.encoders.torch_models.conversion import whole_folder
from app.encoders.torch_models.loaded_model import LoadedModel
from app.pictures.decoding import decode
from app.settings import DEMO_MODEL_DIR, ROOT
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.process_environment import bare
from tests.fixtures.tiny_models import tiny_model

DEMO = f"local-dir:{DEMO_MODEL_DIR}"
TEXTS = ["a green tree", "", "自行车", "two dogs on a beach " * 30, "a red car on a road"]
SECONDS = 240  # of a process that converts: far more than it takes
OVERLAP_SECONDS = 0.3  # for a thread to run into a block that it must not

QUIET = """
import socket, sys
from pathlib import Path

def refuse(*_):
    print("CONNECTED", flush=True)
    raise OSError("no network in this test")

socket.socket.connect = socket.getaddrinfo = refuse
import multiprocessing.process
multiprocessing.process.BaseProcess.start = refuse  # how telemetry is sent
from app.encoders.model_request import RuntimeOptions
from app.encoders.torch_models import openclip

options = RuntimeOptions("openvino", "fp32", Path(sys.argv[2]))
encoder = openclip.load(sys.argv[1], "", "cpu", None, options)
print(encoder.runtime, sys.modules.get("openvino_telemetry"))
"""
INTERRUPTED = """
import signal, sys
from pathlib import Path
from app.encoders.openvino import OpenVinoTowers

towers = OpenVinoTowers(Path(sys.argv[1]), Path(sys.argv[2]), "fp32")
del towers
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return openclip.load_torch(DEMO, "", "cpu", "demo model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def encoder(loaded: LoadedModel, folder: Path) -> OpenClipEncoder:
    return loaded.encoder.on(conversion.towers(loaded, folder, "fp32"))


@pytest.fixture
def tiny(tmp_path: Path) -> LoadedModel:
    return openclip.load_torch(tiny_model(tmp_path / "model", seed=0), "", "cpu")


def test_any_batch_gives_torchs_vectors(loaded: LoadedModel, encoder: OpenClipEncoder) -> None:
    assert (encoder.runtime, encoder.precision, encoder.device) == ("openvino", "fp32", "cpu")
    pixels = [loaded.encoder.prepare(noise(seed)) for seed in range(9)]
    exact, texts = loaded.encoder.encode_pixels(pixels), loaded.encoder.encode_texts(TEXTS)
    for count in (1, 2, 5, 9):
        rows = encoder.encode_pixels(pixels[:count])
        assert rows.dtype == np.float32
        assert np.abs(rows - exact[:count]).max() < 1e-5
    for count in (1, 3, 5):
        assert np.abs(encoder.encode_texts(TEXTS[:count]) - texts[:count]).max() < 1e-5


def test_the_demo_model_finds_what_it_found(loaded: LoadedModel, encoder: OpenClipEncoder) -> None:
    files = sorted(TEST_IMAGES.glob("*.jpg"))[:100]
    pixels = [encoder.prepare(decode(file.read_bytes(), 50).image) for file in files]
    queries = ["a green tree", "a red car", "自行车", "a dog", "a boat on the sea"]
    answers = [
        np.argsort(-(one.encode_texts(queries) @ one.encode_pixels(pixels).T), axis=1)[:, :5]
        for one in (loaded.encoder, encoder)
    ]
    assert (answers[0] == answers[1]).all()


def test_many_threads_get_their_own_answers(encoder: OpenClipEncoder) -> None:
    expected = {text: encoder.encode_texts([text])[0] for text in TEXTS}
    with ThreadPoolExecutor(4) as threads:
        asked = TEXTS * 10
        rows = threads.map(lambda text: encoder.encode_texts([text])[0], asked)
        worst = max(float(np.abs(row - expected[text]).max()) for text, row in zip(asked, rows))  # noqa: B905
    assert worst < 1e-6


def test_a_conversion_is_made_once(tiny: LoadedModel, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    first = conversion.conversion(tiny, kept)
    made = {file.name: file.stat().st_mtime_ns for file in first.iterdir()}
    assert conversion.conversion(tiny, kept) == first
    assert {file.name: file.stat().st_mtime_ns for file in first.iterdir()} == made
    assert {IMAGE, TEXT} < set(made)
    assert [path.name for path in kept.iterdir()] == [first.name]
    assert tiny.encoder.space.fingerprint[:16] in first.name


def test_an_older_versions_conversion_goes(tiny: LoadedModel, tmp_path: Path) -> None:
    fingerprint = tiny.encoder.space.fingerprint[:16]
    old, other = f"{fingerprint}-fp32-openvino-2020.1-1", f"{'0' * 16}-fp32-openvino-2020.1-1"
    for name in (old, other, f"{fingerprint}-int8"):
        (tmp_path / name).mkdir()
    conversion.conversion(tiny, tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert old not in left
    assert {other, f"{fingerprint}-int8"} < left


def test_a_damaged_conversion_is_made_anew(
    tiny: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = conversion.conversion(tiny, tmp_path / "kept")
    (found / IMAGE).write_text("<net")
    encoder = tiny.encoder.on(conversion.towers(tiny, tmp_path / "kept", "fp32"))
    assert "converting it anew" in caplog.text
    assert encoder.encode_pixels([encoder.prepare(noise(1))]).shape == (1, 32)


def test_a_conversion_that_fails_leaves_logging_as_it_was(
    tiny: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO's own converter leaves the process silent."""

    def refuse(_pixels: object) -> None:
        raise RuntimeError("an operation that cannot be traced")

    root = logging.getLogger()
    before = (root.level, root.filters[:], root.handlers[:])
    monkeypatch.setattr(tiny.text.model, "encode_image", refuse)
    with pytest.raises(Exception, match="cannot be traced"):
        conversion.conversion(tiny, tmp_path / "kept")
    assert (root.level, root.filters, root.handlers) == before
    assert list((tmp_path / "kept").iterdir()) == []


def test_conversions_at_the_same_time_leave_logging_as_it_was() -> None:
    """The second one found the first one's silence, and restored that at its end."""
    root = logging.getLogger()
    before = root.level, root.filters[:], root.handlers[:]
    silenced, first_ended = threading.Event(), threading.Event()

    def second() -> None:
        silenced.wait()
        with conversion._own_logging():
            root.handlers.clear()
            first_ended.wait(SECONDS)

    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(second)
        with conversion._own_logging():
            root.handlers.clear()
            root.setLevel(logging.CRITICAL)
            silenced.set()
            wait([other], OVERLAP_SECONDS)
        first_ended.set()
        other.result(SECONDS)
    assert (root.level, root.filters, root.handlers) == before


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "kept" / "model"

    def fail(part: Path) -> None:
        (part / "half").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        whole_folder(target, fail)
    assert list(target.parent.iterdir()) == []

    def late(part: Path) -> None:
        (part / "mine").write_text("mine")
        target.mkdir()
        (target / "theirs").write_text("theirs")

    whole_folder(target, late)  # another process was faster: its folder stays
    assert [path.name for path in target.iterdir()] == ["theirs"]
    assert list(target.parent.iterdir()) == [target]


def test_the_torch_model_is_let_go(tiny: LoadedModel, tmp_path: Path) -> None:
    import gc
    import weakref

    loaded = openclip.load_torch(tiny_model(tmp_path / "again", seed=3), "", "cpu")
    model = weakref.ref(loaded.text.model)
    encoder = loaded.encoder.on(conversion.towers(loaded, tmp_path / "kept", "fp32"))
    del loaded
    gc.collect()
    assert model() is None
    assert encoder.encode_texts(["a tree"]).shape == (1, 32)


def test_a_signal_after_towers_were_let_go_is_handled(
    encoder: OpenClipEncoder, folder: Path
) -> None:
    """OpenVINO had unmapped the stack that the thread has for handlers: Ctrl-C was a SIGSEGV."""
    (image,) = folder.glob(f"*-fp32-*/{IMAGE}")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(image), str(image.with_name(TEXT))],
        cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are not asked for it")
def test_weights_are_not_in_memory_twice(encoder: OpenClipEncoder, folder: Path) -> None:
    import psutil

    encoder.encode_texts(["a text of a length that was not met before in any of these tests"])
    (weights,) = (path for path in folder.glob(f"*-fp32-*/{TEXT}"))
    mapped = psutil.Process().memory_maps(grouped=True)
    sizes = [one.rss for one in mapped if one.path == str(weights.with_suffix(".bin"))]
    assert weights.with_suffix(".bin").stat().st_size > 25_000_000
    assert sum(sizes) < 5_000_000


def test_nothing_is_sent_home_or_written_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    model = tiny_model(tmp_path / "model", seed=0)
    done = subprocess.run(
        [sys.executable, "-c", QUIET, model, str(tmp_path / "kept")],
        cwd=ROOT, env=bare(HOME=str(home)), capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    assert done.stdout.strip() == "openvino None", done.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()] == []
    assert "intel" not in os.listdir(home)  # noqa: PTH208


def test_int8_that_is_not_faithful_is_not_used(
    loaded: LoadedModel, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The demo model's own pictures are too much alike: one neighbour in fifteen changes."""
    pytest.importorskip("nncf")
    from app.encoders.model_request import RuntimeOptions
    from app.encoders.torch_models.runtime_choice import choose_runtime

    def samples(count: int) -> list[Image.Image]:
        files = sorted(TEST_IMAGES.glob("*.jpg"))[:count]
        return [decode(file.read_bytes(), 50).image for file in files]

    encoder = choose_runtime(loaded, RuntimeOptions("openvino", "int8", folder, samples)).encoder
    assert encoder.precision in {"fp32", "bf16"}
    assert encoder.space == loaded.encoder.space
    assert "int8 is not faithful to fp32" in caplog.text


def test_int8_has_a_fingerprint_of_its_own_and_keeps_it(
    tiny: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model of random weights, which int8 does not do justice to."""
    pytest.importorskip("nncf")
    from app.encoders.model_request import RuntimeOptions
    from app.encoders.torch_models import compressed_texts, int8_quality
    from app.encoders.torch_models.runtime_choice import choose_runtime

    monkeypatch.setattr(int8_quality, "MINIMUM_MEAN_COSINE", 0.9)
    monkeypatch.setattr(int8_quality, "MINIMUM_OVERLAP", 0.5)
    monkeypatch.setattr(compressed_texts, "WORTH_SECONDS", 60.0)  # texts stay in fp32
    asked: list[int] = []

    def samples(count: int) -> list[Image.Image]:
        asked.append(count)
        return [noise(seed) for seed in range(count)]

    options = RuntimeOptions("auto", "int8", tmp_path / "kept", samples)
    first, second = choose_runtime(tiny, options).encoder, choose_runtime(tiny, options).encoder
    assert asked == [200]  # calibrated once
    assert (first.runtime, first.precision) == ("openvino", "int8")
    assert first.space == second.space
    assert first.space.fingerprint != tiny.encoder.space.fingerprint
    assert len(first.space.fingerprint) == 64
    pixels = [first.prepare(noise(seed)) for seed in range(300, 340)]
    exact = tiny.encoder.encode_pixels(pixels)
    cosines = (first.encode_pixels(pixels) * exact).sum(axis=1)
    assert 0.9 < float(cosines.mean()) < 0.99999
    assert np.abs(first.encode_texts(TEXTS) - tiny.encoder.encode_texts(TEXTS)).max() < 1e-5
    shutil.rmtree(tmp_path / "kept")
    other = choose_runtime(
        tiny, RuntimeOptions("auto", "int8", tmp_path / "kept", lambda n: samples(n)[1:])
    ).encoder
    assert other.space.fingerprint != first.space.fingerprint  # calibrated otherwise
