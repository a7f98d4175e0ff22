"""What a model runs on: as configured, or the fastest faithful variant, tried once and kept."""

import json
import logging
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from app.encoders import model_request
from app.encoders.model_request import RuntimeOptions
from app.encoders.torch_models import gpu_batching, openclip, runtime_choice
from app.encoders.torch_models.loaded_model import LoadedModel
from app.encoders.torch_models.runtime_choice import (
    REFERENCE,
    Trial,
    best_first,
    candidates,
    choose_runtime,
)
from app.errors import ModelUnavailable
from app.settings import DEMO_MODEL_DIR
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.tiny_models import tiny_model

BF16 = {"avx512_bf16": True}
TORCH, OPENVINO = ("torch", "fp32"), ("openvino", "fp32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model", seed=0)


@pytest.fixture
def loaded(tiny: str) -> LoadedModel:
    return openclip.load_torch(tiny, "", "cpu")


def options(runtime: str, precision: str, folder: Path | None = Path("kept")) -> RuntimeOptions:
    return RuntimeOptions(runtime, precision, folder)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "runtime", "precision", "able", "variants"),
    [
        ("cpu", "auto", "auto", {}, ["torch fp32", "openvino fp32"]),
        ("cpu", "torch", "auto", {}, ["torch fp32"]),
        ("cpu", "openvino", "fp32", BF16, ["openvino fp32"]),
        (
            *("cpu", "auto", "auto", BF16),
            ["torch bf16", "torch fp32", "openvino bf16", "openvino fp32"],
        ),
        ("cpu", "auto", "bf16", BF16, ["torch bf16", "openvino bf16"]),
        ("cpu", "torch", "bf16", {}, ["torch fp32"]),
        ("mps", "auto", "auto", {}, ["torch fp32"]),
        ("mps", "openvino", "auto", {}, ["torch fp32"]),
        ("cuda", "torch", "bf16", {}, ["torch bf16", "compiled bf16"]),
        (
            *("cuda", "auto", "auto", {}),
            [f"{run} {kind}" for run in ("torch", "compiled") for kind in ("fp16", "bf16", "fp32")],
        ),
    ],
)
def test_the_variants_that_are_tried(
    device: str,
    runtime: str,
    precision: str,
    able: dict[str, bool],
    variants: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    found = candidates(device, options(runtime, precision))
    assert [" ".join(variant) for variant in found] == variants


def test_int8_is_never_chosen_unasked() -> None:
    """Its vectors lie in a space of their own: an index would be refused after an upgrade."""
    for runtime in ("auto", "openvino"):
        assert all(variant[1] != "int8" for variant in candidates("cpu", options(runtime, "auto")))


def test_the_fastest_faithful_variant_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    trials = {
        TORCH: Trial(1.0, 0.10, 0.04),
        OPENVINO: Trial(0.99999, 0.08, 0.02),
        ("torch", "bf16"): Trial(0.9985, 0.01, 0.01),
        ("openvino", "bf16"): Trial(fault="no such operation"),
    }
    assert best_first(list(trials), trials) == [OPENVINO, TORCH]
    assert "torch bf16: a cosine of only 0.99850 to fp32" in caplog.text
    assert "openvino bf16: no such operation" in caplog.text


@pytest.mark.parametrize(
    ("precision", "cosine", "faithful"),
    [("fp32", 0.99995, True), ("fp32", 0.9995, False), ("bf16", 0.9995, True)],
)
def test_fp32_is_held_to_rounding_and_others_to_less(
    precision: str, cosine: float, faithful: bool
) -> None:
    assert Trial(cosine, 1.0, 1.0).is_faithful(precision) == faithful


def test_a_trial_is_made_once_and_again_for_another_model(
    loaded: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept = tmp_path / "kept"
    variants = candidates("cpu", RuntimeOptions(folder=kept))  # four, where the CPU multiplies bf16
    assert {TORCH, OPENVINO} <= set(variants)
    first = choose_runtime(loaded, RuntimeOptions(folder=kept)).encoder
    (file,) = kept.glob("trials-*.json")
    told = json.loads(file.read_text())
    assert [(one["runtime"], one["precision"]) for one in told] == variants
    assert all(one["trial"]["picture_seconds"] > 0 for one in told)
    assert caplog.text.count("pictures/s") == len(variants)
    caplog.clear()
    second = choose_runtime(loaded, RuntimeOptions(folder=kept)).encoder
    assert (second.runtime, second.precision) == (first.runtime, first.precision)
    assert "pictures/s" not in caplog.text
    other = openclip.load_torch(tiny_model(tmp_path / "other", seed=1), "", "cpu")
    choose_runtime(other, RuntimeOptions(folder=kept))
    assert len(list(kept.glob("trials-*.json"))) == 2


def test_what_was_measured_decides(loaded: LoadedModel, tmp_path: Path) -> None:
    for faster in (OPENVINO, TORCH):
        choose_runtime(loaded, RuntimeOptions(folder=tmp_path))
        (file,) = tmp_path.glob("trials-*.json")
        told = json.loads(file.read_text())
        for one in told:
            mine = (one["runtime"], one["precision"]) == faster
            one["trial"] |= {"picture_seconds": 0.1 if mine else 0.2, "text_seconds": 0.1}
        file.write_text(json.dumps(told))
        encoder = choose_runtime(loaded, RuntimeOptions(folder=tmp_path)).encoder
        assert (encoder.runtime, encoder.precision) == faster
        assert encoder.space == loaded.encoder.space


def test_damaged_records_are_made_anew(loaded: LoadedModel, tmp_path: Path) -> None:
    options = RuntimeOptions(precision="fp32", folder=tmp_path)
    choose_runtime(loaded, options)
    (file,) = tmp_path.glob("trials-*.json")
    for damage in ("", "[1]", '{"a": 1}', '[{"runtime": "torch", "precision": "fp32"}]'):
        file.write_text(damage)
        assert choose_runtime(loaded, options).encoder.space == loaded.encoder.space
        assert len(json.loads(file.read_text())) == 2


def test_without_a_folder_torch_is_used_and_nothing_is_timed(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert choose_runtime(loaded, RuntimeOptions()).encoder is loaded.encoder
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: BF16)
    monkeypatch.setattr("app.encoders.fidelity.MINIMUM_COSINE", 0.9)
    assert choose_runtime(loaded, RuntimeOptions()).encoder.precision == "bf16"
    monkeypatch.setattr("app.encoders.fidelity.MINIMUM_COSINE", 1.01)
    monkeypatch.setattr(runtime_choice, "GATES", {"fp32": 0.9})
    assert choose_runtime(loaded, RuntimeOptions()).encoder.precision == "fp32"


@pytest.mark.parametrize("fault", ["refuses", "takes a batch for a constant"])
def test_a_model_that_does_not_convert_runs_in_torch(
    loaded: LoadedModel,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def encode_image(pixels: torch.Tensor) -> torch.Tensor:
        if fault == "refuses" and bool(torch._C._get_tracing_state()):
            raise RuntimeError("an operation that cannot be traced")
        return pixels[:, 0].reshape(int(pixels.shape[0]), -1)[:, :32] + 1e-3

    monkeypatch.setattr(loaded.text.model, "encode_image", encode_image)
    for _ in range(2):
        caplog.clear()
        encoder = choose_runtime(
            loaded, RuntimeOptions(runtime="openvino", folder=tmp_path)
        ).encoder
        assert encoder is loaded.encoder
        assert "openvino fp32: " in caplog.text
        assert encoder.encode_texts(["a tree"]).shape == (1, 32)


def test_a_disk_that_cannot_be_written_to_costs_speed_alone(
    loaded: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    encoder = choose_runtime(loaded, RuntimeOptions(folder=blocked / "below")).encoder
    assert encoder.runtime == "torch"
    assert "is not kept" in caplog.text


@pytest.mark.parametrize(
    "none",
    [
        RuntimeOptions("torch", "int8", Path("kept")),
        RuntimeOptions("auto", "int8", None),
    ],
)
def test_int8_where_it_cannot_be_is_said_so(loaded: LoadedModel, none: RuntimeOptions) -> None:
    with pytest.raises(ModelUnavailable, match="int8 runs in OpenVINO on the CPU"):
        choose_runtime(loaded, none)


def test_int8_needs_pictures(loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="calibrated on pictures: 40 at least, 3 found"):
        choose_runtime(
            loaded, RuntimeOptions("auto", "int8", tmp_path, lambda _: [noise(n) for n in range(3)])
        )
    assert model_request._none(3) == []


def test_batches_are_doubled_until_there_is_no_memory() -> None:
    asked_for: list[int] = []

    def run(count: int) -> None:
        asked_for.append(count)
        if count > 32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep(0.02)  # whatever the count: twice as many cost half as much each

    assert gpu_batching.find_batch_size(run) == 32
    assert asked_for == [8, 8, 16, 16, 32, 32, 64]


def test_batches_are_doubled_no_further_than_it_pays() -> None:
    assert (
        gpu_batching.find_batch_size(lambda count: time.sleep(0.003 * count), max_batch=512) <= 64
    )


def test_without_memory_for_the_first_batch_pictures_go_alone() -> None:
    def never(_count: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert gpu_batching.find_batch_size(never) == 1


def test_a_batch_over_the_bound_goes_in_parts(loaded: LoadedModel) -> None:
    pixels = [loaded.encoder.prepare(noise(seed)) for seed in range(5)]
    parted = loaded.encoder.on(loaded.encoder.towers, max_batch=2)
    sizes: list[int] = []
    images = parted.towers.images

    def noted(batch: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> object:
        sizes.append(len(batch))
        return images(batch)

    parted.towers.images = noted  # type: ignore[assignment, method-assign]
    try:
        rows = parted.encode_pixels(pixels)
    finally:
        parted.towers.images = images  # type: ignore[method-assign]
    assert sizes == [2, 2, 1]
    assert (rows * loaded.encoder.encode_pixels(pixels)).sum(1) == pytest.approx(np.ones(5))


def test_the_gpus_dtypes_and_layout_run_on_the_cpu_too(loaded: LoadedModel) -> None:
    """There is no GPU in the tests: what is left of its path is that it computes the same."""
    pixels = [loaded.encoder.prepare(noise(seed)) for seed in range(3)]
    exact = loaded.encoder.encode_pixels(pixels)
    for dtype in (torch.float16, torch.bfloat16):
        half = loaded.encoder.on(loaded.towers(dtype))
        assert half.precision == {torch.float16: "fp16", torch.bfloat16: "bf16"}[dtype]
        assert float((half.encode_pixels(pixels) * exact).sum(1).min()) > 0.99
    tuned = gpu_batching.tuned(loaded.encoder)
    assert (tuned.encode_pixels(pixels) * exact).sum(1) == pytest.approx(np.ones(3), abs=1e-5)


def test_the_demo_model_keeps_its_space_on_every_way(tmp_path: Path) -> None:
    demo = f"local-dir:{DEMO_MODEL_DIR}"
    plain = openclip.load(demo, "", "cpu")
    other = openclip.load(
        demo, "", "cpu", None, RuntimeOptions(runtime="openvino", folder=tmp_path)
    )
    assert (plain.runtime, other.runtime) == ("torch", "openvino")
    assert plain.space == other.space
    assert REFERENCE == ("torch", "fp32")
