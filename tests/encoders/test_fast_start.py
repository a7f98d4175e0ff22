"""A start without torch: with what an earlier one has kept, and only while all of it is true."""

import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_clip.tokenizer import SimpleTokenizer

from app.database import migrating
from app.encoders import fast_start, hardware, loading
from app.encoders.file_identity import identities
from app.encoders.model_request import ModelRequest, RuntimeOptions
from app.encoders.openvino import LARGEST_BATCH
from app.encoders.torch_models import conversion, openclip, runtime_choice
from app.settings import ROOT
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.process_environment import PROCESS_SECONDS, bare
from tests.fixtures.tiny_models import tiny_model

TEXTS = ["a tree", "", "自行车 &amp; a RED car", "two dogs on a beach " * 30]
HEAVY = "{'torch', 'torchvision', 'open_clip', 'timm', 'transformers'}"
WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"

LOADED = f"""
import sys
from pathlib import Path
import numpy as np
from app.encoders import loading
from app.encoders.model_request import ModelRequest, RuntimeOptions
from tests.fixtures.drawn_pictures import noise

model, folder, target = sys.argv[1:]
options = RuntimeOptions("openvino", "fp32", Path(folder))
encoder = loading.load(ModelRequest(model, "", "cpu", "tiny", options))
pixels = [encoder.prepare(noise(seed, (90 + seed, 60))) for seed in range(3)]
np.savez(target, texts=encoder.encode_texts({TEXTS!r}), pictures=encoder.encode_pixels(pixels))
print(encoder.runtime, encoder.space.fingerprint, sorted({HEAVY} & sys.modules.keys()))
"""

SERVED = f"""
import sys
from pathlib import Path
from app.runtime.assembly import open_services
from app.main import create_app
from app.settings import Settings
from tests.conftest import local_client

# What `tests.conftest` takes from the environment is handed over otherwise.
settings = Settings(
    testing=True, device="cpu", runtime="openvino", precision="fp32", database_url=sys.argv[1],
    model_cache_dir=sys.argv[2], test_upload_dir=sys.argv[3], thumbnail_dir=sys.argv[3],
)
with open_services(settings) as services, local_client(create_app(settings, services)) as client:
    text = client.get("/search-by-text?query=a%20green%20tree")
    picture = client.post("/search-by-image", content=Path(sys.argv[4]).read_bytes())
    print(text.status_code, picture.status_code, sorted({HEAVY} & sys.modules.keys()))
"""


def request_for(model: str, folder: Path, **changes: Any) -> ModelRequest:
    return replace(
        ModelRequest(model, "", "cpu", "tiny", RuntimeOptions("openvino", "fp32", folder)),
        **changes,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and what its first load has kept."""
    folder = tmp_path_factory.mktemp("made")
    tiny_model(folder / "model", seed=0)
    return folder


@pytest.fixture
def kept(made: Path, tmp_path: Path) -> ModelRequest:
    """A model of the test's own, loaded once."""
    shutil.copytree(made / "model", tmp_path / "model")
    if (made / "kept").is_dir():  # converted already
        shutil.copytree(made / "kept", tmp_path / "kept")
    request = request_for(f"local-dir:{tmp_path / 'model'}", tmp_path / "kept")
    assert loading.load(request).runtime == "openvino"
    if not (made / "kept").is_dir():
        own = shutil.ignore_patterns("start-*")  # of this test's paths
        shutil.copytree(tmp_path / "kept", made / "kept", ignore=own)
    return request


def record(request: ModelRequest) -> Path:
    assert request.options.folder is not None
    (file,) = request.options.folder.glob("start-*.json")
    return file


def rewritten(request: ModelRequest, **changes: Any) -> None:
    """Change the record as nobody but a program could: its digest fits."""
    found = fast_start._read(record(request))
    record(request).write_bytes(fast_start._written(replace(found, **changes)))


def run(script: str, *arguments: str, **settings: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT, env=bare(**settings), capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_second_load_gives_the_same_vectors_without_torch(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", seed=5)
    vectors: list[tuple[str, dict[str, Any]]] = []
    for heavy in ("['open_clip', 'timm', 'torch', 'torchvision']", "[]"):
        target = tmp_path / f"{len(vectors)}.npz"
        told = run(LOADED, model, str(tmp_path / "kept"), str(target))
        runtime, fingerprint, modules = told.split(maxsplit=2)
        assert (runtime, modules) == ("openvino", heavy)
        vectors.append((fingerprint, dict(np.load(target))))
    (first, exact), (second, ours) = vectors
    assert first == second
    for name in ("texts", "pictures"):
        assert np.abs(exact[name] - ours[name]).max() < 1e-6


def test_a_second_start_answers_a_text_and_a_picture_without_torch(
    server_url: str, tmp_path: Path
) -> None:
    migrating.create_database(server_url, "shortcut")
    url = server_url.replace("/postgres?", "/shortcut?")
    folders = [str(tmp_path / "kept"), str(tmp_path / "files")]
    told = [run(SERVED, url, *folders, str(TEST_IMAGES / "cat.jpg")) for _ in range(2)]
    assert told[0].startswith("200 200 ['open_clip', ")
    assert told[1] == "200 200 []"


def test_it_is_the_same_encoder(kept: ModelRequest) -> None:
    plain = openclip.load_torch(kept.model, "", "cpu", "tiny").encoder
    found = fast_start.find(kept)
    assert found is not None
    assert (found.space, found.runtime, found.precision) == (plain.space, "openvino", "fp32")
    assert found.logit_scale == plain.logit_scale
    for seed, size in enumerate([(96, 64), (33, 200), (32, 32), (500, 375)]):
        picture = noise(seed, size)
        assert np.array_equal(found.prepare(picture), plain.prepare(picture))
    assert np.abs(found.encode_texts(TEXTS) - plain.encode_texts(TEXTS)).max() < 1e-5
    pixels = [plain.prepare(noise(seed)) for seed in range(LARGEST_BATCH + 3)]  # in two parts
    assert np.abs(found.encode_pixels(pixels) - plain.encode_pixels(pixels)).max() < 1e-5


def test_each_question_has_an_answer_of_its_own(kept: ModelRequest) -> None:
    for other in (
        replace(kept, name=None),
        replace(kept, pretrained="tag"),
        replace(kept, device="auto"),
        replace(kept, options=replace(kept.options, runtime="auto")),
        replace(kept, options=replace(kept.options, precision="bf16")),
        replace(kept, options=replace(kept.options, folder=None)),
    ):
        assert fast_start.find(other) is None
    assert fast_start.find(kept) is not None


def touched(file: Path) -> None:
    now = file.stat()
    os.utime(file, ns=(now.st_atime_ns, now.st_mtime_ns + 1))


def same_date(file: Path) -> None:
    """Other bytes under the same size and date: only the time of change tells."""
    now, data = file.stat(), file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(file, ns=(now.st_atime_ns, now.st_mtime_ns))


FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "weights of another date": (f"model/{WEIGHTS}", touched),
    "weights of the same date": (f"model/{WEIGHTS}", same_date),
    "longer weights": (f"model/{WEIGHTS}", lambda file: file.write_bytes(file.read_bytes() + b" ")),
    "no weights": (f"model/{WEIGHTS}", Path.unlink),
    "another configuration": (f"model/{CONFIG}", touched),
    "one more file": ("model/more.safetensors", Path.touch),
    "a conversion edited": ("kept/*/text.bin", same_date),
    "half a conversion": ("kept/*/image.xml", Path.unlink),
    "other trials": ("kept/trials-*.json", touched),
    "no trials": ("kept/trials-*.json", Path.unlink),
}


@pytest.mark.parametrize("change", FILES)
def test_a_file_that_is_another_is_noticed(
    kept: ModelRequest, change: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert fast_start.find(kept) is not None
    pattern, alter = FILES[change]
    for file in [*tmp_path.glob(pattern)] or [tmp_path / pattern]:
        alter(file)
    assert fast_start.find(kept) is None
    assert "loading tiny with torch, as at the first start: " in caplog.text


def test_other_weights_in_the_same_place_have_their_own_vectors(
    kept: ModelRequest, tmp_path: Path
) -> None:
    before = fast_start.find(kept)
    tiny_model(tmp_path / "model", seed=1)
    after, again = loading.load(kept), fast_start.find(kept)
    assert before is not None
    assert again is not None
    assert after.space == again.space
    assert after.space.fingerprint != before.space.fingerprint
    a, b, c = (one.encode_texts(["a tree"])[0] for one in (before, after, again))
    assert float(a @ b) < 0.99
    assert float(b @ c) == pytest.approx(1, abs=1e-6)


def test_a_link_that_leads_elsewhere_is_noticed(kept: ModelRequest, tmp_path: Path) -> None:
    link = tmp_path / "link.safetensors"
    other = tmp_path / "other.safetensors"
    shutil.copy2(tmp_path / "model" / WEIGHTS, other)
    link.symlink_to(tmp_path / "model" / WEIGHTS)
    before = identities([link])
    link.unlink()
    link.symlink_to(other)
    assert before != identities([link])


def test_another_revision_in_the_hubs_cache_is_noticed(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "1234"
    revision = tmp_path / "models--a--b" / "refs" / "main"
    for file in (snapshot / WEIGHTS, snapshot / CONFIG, revision):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1234")
    for place in (snapshot, snapshot / WEIGHTS):
        before = identities([place])
        assert str(revision) in before
        revision.write_text("5678")
        assert identities([place]) != before


def test_a_model_in_the_hubs_cache_is_taken_as_long_as_its_revision(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--a--b"
    (repository / "refs").mkdir(parents=True)
    told = []
    for seed, revision in enumerate(("1" * 40, "2" * 40)):
        tiny_model(repository / "snapshots" / revision, seed=seed)
        (repository / "refs" / "main").write_text(revision)
        for name in ("first", "second"):
            paths = str(tmp_path / "kept"), str(tmp_path / f"{name}.npz")
            offline = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
            told.append(run(LOADED, "hf-hub:a/b", *paths, **offline).split(maxsplit=2))
    assert [modules == "[]" for _, _, modules in told] == [False, True, False, True]
    first, again, other, second = (fingerprint for _, fingerprint, _ in told)
    assert first == again != other == second


CIRCUMSTANCES: dict[str, tuple[object, str, object]] = {
    "cores": (hardware, "cores", lambda: 1_000),
    "processor": (hardware, "processor", lambda: ["another"]),
    "versions": (fast_start, "version", lambda name: f"{name} 0"),
    "format": (fast_start, "FORMAT", 0),
    "python": (platform, "python_version", lambda: "3.0"),
}


@pytest.mark.parametrize("change", CIRCUMSTANCES)
def test_other_circumstances_are_noticed(
    kept: ModelRequest,
    change: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(*CIRCUMSTANCES[change])
    assert fast_start.find(kept) is None
    assert f"changed since: {change}" in caplog.text
    monkeypatch.undo()
    assert fast_start.find(kept) is not None


def test_another_place_to_look_for_files_is_noticed(
    kept: ModelRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert fast_start.find(kept) is None
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert fast_start.find(kept) is None


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"a": 1}', '{"sha256": "", "record": "{}"}'])
def test_a_damaged_record_is_written_anew(kept: ModelRequest, damage: str) -> None:
    record(kept).write_text(damage)
    assert fast_start.find(kept) is None
    loading.load(kept)
    assert fast_start.find(kept) is not None


def test_a_record_that_was_edited_is_not_believed(kept: ModelRequest) -> None:
    whole = json.loads(record(kept).read_text())
    whole["record"] = whole["record"].replace('"precision": "fp32"', '"precision": "bf16"')
    record(kept).write_text(json.dumps(whole))
    assert fast_start.find(kept) is None


def test_an_encoder_that_gives_other_vectors_is_not_used(
    kept: ModelRequest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    found = fast_start._read(record(kept))
    text, picture = found.probe
    rewritten(kept, probe=[text, picture])
    assert fast_start.find(kept) is not None
    rewritten(kept, probe=[picture, text])
    assert fast_start.find(kept) is None
    assert "its vectors differ: their cosine is " in caplog.text
    rewritten(kept, probe=[text, [float("nan")] * len(picture)])
    assert fast_start.find(kept) is None
    rewritten(kept, shaping={**found.shaping, "height": 64})
    assert fast_start.find(kept) is None


def test_where_a_gpu_may_be_torch_is_asked(
    kept: ModelRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "DEVICES", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    auto = replace(kept, device="auto")
    loading.load(auto)
    assert fast_start.find(auto) is not None
    for name in ("nvidia0", "kfd", "dxg"):
        device = tmp_path / "dev" / name
        device.touch()
        assert hardware.may_have_gpu()
        assert fast_start.find(auto) is None
        assert fast_start.find(kept) is not None  # DEVICE=cpu has nothing to ask
        device.unlink()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert hardware.may_have_gpu()


def test_a_processor_that_nobody_describes_still_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hardware.processor()
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "absent")
    assert hardware.processor()[0]
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert hardware.cores() == os.cpu_count()


def edited(folder: Path, section: str, **changes: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    target = config
    for part in section.split("."):
        target = target[part]
    target.update(changes)
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("section", "changes", "reason"),
    [
        ("model_cfg.text_cfg", {"tokenizer_kwargs": {"clean": "canonicalize"}}, "cleans texts"),
        ("model_cfg.text_cfg", {"tokenizer_kwargs": {"clean": "whitespace"}}, "cleans texts"),
        (
            "model_cfg.text_cfg",
            {"tokenizer_kwargs": {"reduction_mask": "simple"}},
            "is not CLIP's own",
        ),
        (
            "model_cfg.text_cfg",
            {"tokenizer_kwargs": {"additional_special_tokens": ["<x>"]}, "vocab_size": 49_409},
            "a vocabulary of its own",
        ),
    ],
)
def test_another_tokenizer_goes_through_torch(
    section: str,
    changes: dict[str, object],
    reason: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    kwargs: Any = changes["tokenizer_kwargs"]
    loaded = openclip.load_torch(tiny_model(tmp_path / "model", seed=0), "", "cpu")
    loaded.tokenizer = SimpleTokenizer(context_length=16, **kwargs)
    request = request_for(f"local-dir:{tmp_path / 'model'}", tmp_path / "kept")
    encoder, trials = runtime_choice.choose_runtime(loaded, request.options)
    assert trials is not None
    fast_start.keep(request, loaded, encoder, trials)
    assert reason in caplog.text
    assert fast_start.find(request) is None


def test_pictures_prepared_otherwise_go_through_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("app.encoders.inputs.preprocessing._offset", lambda side, target: 0)
    request = request_for(tiny_model(tmp_path / "model", seed=0), tmp_path / "kept")
    assert loading.load(request).runtime == "openvino"
    assert "its pictures are prepared in another way" in caplog.text
    assert not list((tmp_path / "kept").glob("start-*"))


def test_weights_that_change_while_they_are_read_are_not_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The fingerprint is of the old ones, and what lies there is new."""
    caplog.set_level(logging.INFO)
    request = request_for(tiny_model(tmp_path / "model", seed=0), tmp_path / "kept")
    loaded = openclip.load_torch(request.model, "", "cpu", "tiny")
    encoder, trials = runtime_choice.choose_runtime(loaded, request.options)
    assert trials is not None
    tiny_model(tmp_path / "model", seed=1)
    fast_start.keep(request, loaded, encoder, trials)
    assert "its files were changed while they were read" in caplog.text
    assert fast_start.find(request) is None


def test_what_runs_in_torch_is_not_kept(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "model", seed=0)
    request = request_for(
        model, tmp_path / "kept", options=RuntimeOptions("torch", "fp32", tmp_path / "kept")
    )
    for _ in range(2):
        assert loading.load(request).runtime == "torch"
    assert not list(tmp_path.glob("kept/start-*"))


def test_what_may_be_chosen_otherwise_the_next_time_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that failed for want of room is made again at the next start."""
    make = runtime_choice._make

    def full(loaded: Any, options: RuntimeOptions, variant: runtime_choice.Variant) -> Any:
        if variant == ("torch", "fp16"):
            raise OSError("No space left on device")
        return make(loaded, options, variant)

    monkeypatch.setattr(runtime_choice, "_make", full)
    variants = [("torch", "fp16"), ("openvino", "fp32")]
    monkeypatch.setattr(runtime_choice, "candidates", lambda _device, _options: variants)
    request = request_for(tiny_model(tmp_path / "model", seed=0), tmp_path / "kept")
    assert loading.load(request).runtime == "openvino"
    assert len([*(tmp_path / "kept").glob("trials-*")]) == 1
    assert not list((tmp_path / "kept").glob("start-*"))


def test_bf16_is_kept_as_well(kept: ModelRequest, tmp_path: Path) -> None:
    """Made by hand: not every processor multiplies it, and then it is not chosen."""
    request = replace(kept, options=RuntimeOptions("openvino", "bf16", tmp_path / "kept"))
    loaded = openclip.load_torch(kept.model, "", "cpu", "tiny")
    towers = conversion.towers(loaded, tmp_path / "kept", "bf16")
    encoder = loaded.encoder.on(towers, max_batch=LARGEST_BATCH)
    (trials,) = (tmp_path / "kept").glob("trials-*")
    fast_start.keep(request, loaded, encoder, trials)
    found = fast_start.find(request)
    assert found is not None
    assert (found.precision, found.space) == ("bf16", loaded.encoder.space)


def test_a_disk_that_cannot_be_written_to_costs_seconds_alone(
    kept: ModelRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def full(_target: Path) -> None:
        raise OSError("No space left on device")

    record(kept).unlink()
    monkeypatch.setattr(fast_start, "whole_file", full)
    assert loading.load(kept).encode_texts(["a tree"]).shape == (1, 32)
    assert "the next start loads it with torch again: No space left on device" in caplog.text
