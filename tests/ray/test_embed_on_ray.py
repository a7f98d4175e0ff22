"""Two workers of a Ray cluster embed a folder while one of them is killed (issue 20)."""

import subprocess
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from PIL import Image

from app.runtime.dataset.importing import import_dataset
from app.runtime.services import Services
from app.settings import ROOT
from scripts.embed_on_ray import PART
from tests.fixtures.process_environment import bare

PARTS = 4
PICTURES = (PARTS - 1) * PART + 100
WORKER = "MapWorker"
SECONDS = 300.0  # that anything here may take


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An environment with Ray, which sees this one's packages too."""
    folder = tmp_path_factory.mktemp("ray-environment")
    uv = str(Path(sysconfig.get_path("scripts")) / "uv")
    subprocess.run([uv, "venv", "--quiet", str(folder / "venv")], check=True)
    inside = str(folder / "venv" / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--python", inside, "ray[data]==2.60.0"]
    subprocess.run([*install, "--constraint", str(ROOT / "requirements.lock")], check=True)
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib"))
    return inside


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for n in range(PICTURES):
        pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(pixels).resize((48, 48)).save(folder / f"{n:05}.png")
    (folder / "99999.png").write_bytes(b"no picture")
    return folder


def embedding(python: str, pictures: Path, target: Path) -> subprocess.Popen[str]:
    command = [python, "-m", "scripts.embed_on_ray", str(pictures), str(target), "--workers", "2"]
    environment = bare(TESTING="1", RAY_USAGE_STATS_ENABLED="0")
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def workers(process: subprocess.Popen[str]) -> Iterator[psutil.Process]:
    """The cluster's processes that have a model."""
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if WORKER in " ".join(child.cmdline()):
                yield child
        except psutil.Error:
            continue


def done(target: Path) -> list[Path]:
    return sorted((target / "images").glob("*.parquet"))


def test_a_killed_worker_loses_and_doubles_nothing(
    python: str, pictures: Path, tmp_path: Path, services: Services
) -> None:
    target = tmp_path / "dataset"
    process = embedding(python, pictures, target)
    try:
        deadline = time.monotonic() + SECONDS
        while not done(target):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed = next(workers(process))
        killed.kill()
        assert len(done(target)) < PARTS, "killed too late"
        told = process.communicate(timeout=SECONDS)[0]
    finally:
        process.kill()
    assert process.returncode == 0, told
    assert f"{PICTURES} pictures" in told
    assert "99999.png" in told
    paths = Counter(
        path for part in done(target) for path in pq.read_table(part)["path"].to_pylist()
    )
    assert (len(paths), set(paths.values())) == (PICTURES, {1})

    loading = import_dataset(services.sessions, ("default", "ray"), target, lambda *_: None)
    assert loading.counts["added"] == PICTURES
    hits = services.registry.open("default", "ray").search.by_text("a car", 10).hits
    assert len(hits) == 10


def test_what_is_done_is_not_done_again(python: str, pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    first = embedding(python, pictures, target).communicate(timeout=SECONDS)[0]
    assert f"0 of {PARTS} parts are done" in first
    before = [path.stat().st_mtime_ns for path in done(target)]
    done(target)[1].unlink()
    second = embedding(python, pictures, target).communicate(timeout=SECONDS)[0]
    assert f"{PARTS - 1} of {PARTS} parts are done" in second
    after = [path.stat().st_mtime_ns for path in done(target)]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True]
