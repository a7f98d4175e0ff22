"""The encoder: precision, fingerprint, faults in the weights, and the resident."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from app.encoders.batching import Batcher
from app.encoders.encoder import OpenClipEncoder
from app.encoders.fidelity import lowest_cosine
from app.encoders.resident_model import ResidentModel
from app.encoders.torch_models import openclip
from app.encoders.torch_models.loaded_model import LoadedModel
from app.errors import ModelUnavailable
from app.settings import DEMO_MODEL_DIR
from tests.fixtures.drawn_pictures import noise

DEMO = f"local-dir:{DEMO_MODEL_DIR}"


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return openclip.load_torch(DEMO, "", "cpu", "demo model")


@pytest.fixture(scope="module")
def encoder(loaded: LoadedModel) -> OpenClipEncoder:
    return loaded.encoder


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    made = Batcher(max_items=4)
    yield made
    made.close()


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_MODEL_DIR, tmp_path / "model"))


def edit_config(folder: Path, section: str, **changes: object) -> None:
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    target = config
    for part in section.split("."):
        target = target[part]
    target.update(changes)
    path.write_text(json.dumps(config))


def test_vectors_are_unit_rows_of_the_models_dimensions(encoder: OpenClipEncoder) -> None:
    texts = encoder.encode_texts(["a tree", "树", "", "x" * 1000])
    pictures = encoder.encode_pixels([encoder.prepare(noise(seed)) for seed in range(3)])
    for rows, count in ((texts, 4), (pictures, 3)):
        assert rows.shape == (count, encoder.space.dimensions)
        assert rows.dtype == np.float32
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(count), abs=1e-5)


def test_a_batch_gives_what_single_pictures_give(encoder: OpenClipEncoder) -> None:
    pixels = [encoder.prepare(noise(seed)) for seed in range(4)]
    together = encoder.encode_pixels(pixels)
    alone = np.concatenate([encoder.encode_pixels([one]) for one in pixels])
    assert (together * alone).sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_the_demo_models_fingerprint_is_the_one_that_databases_know(
    encoder: OpenClipEncoder,
) -> None:
    assert encoder.space.fingerprint == (
        "325b3fcd3b256b0e863d9d26492fd7da8743b3d206efd9773641d8c021044fc0"
    )


def test_bf16_is_close_to_fp32_and_of_the_same_space(loaded: LoadedModel) -> None:
    encoder = loaded.encoder
    reduced = encoder.on(loaded.towers(torch.bfloat16))
    assert (encoder.precision, reduced.precision) == ("fp32", "bf16")
    assert 0.99 < lowest_cosine(encoder, reduced) < 1
    assert reduced.space == encoder.space


def test_the_fingerprint_is_of_the_model_and_not_of_its_place(
    encoder: OpenClipEncoder, model_copy: Path
) -> None:
    again = openclip.load(f"local-dir:{model_copy}", "", "cpu")
    assert again.space.fingerprint == encoder.space.fingerprint


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("preprocess_cfg", {"mean": [0.4, 0.4, 0.4]}),
        ("preprocess_cfg", {"interpolation": "bilinear"}),
        ("model_cfg", {"quick_gelu": True}),
        ("model_cfg.text_cfg", {"tokenizer_kwargs": {"clean": "canonicalize"}}),
    ],
)
def test_the_fingerprint_changes_with_what_changes_the_vectors(
    encoder: OpenClipEncoder, model_copy: Path, section: str, changes: dict[str, object]
) -> None:
    edit_config(model_copy, section, **changes)
    other = openclip.load(f"local-dir:{model_copy}", "", "cpu")
    assert other.space.fingerprint != encoder.space.fingerprint


def test_a_built_in_name_with_a_checkpoint_of_ones_own(
    encoder: OpenClipEncoder, tmp_path: Path
) -> None:
    config = json.loads((DEMO_MODEL_DIR / "open_clip_config.json").read_text())
    (tmp_path / "tiny.json").write_text(json.dumps(config["model_cfg"]))
    open_clip.add_model_config(tmp_path / "tiny.json")
    weights = str(DEMO_MODEL_DIR / "open_clip_model.safetensors")
    loaded = openclip.load_torch("tiny", weights, "cpu").encoder  # in fp32 on any processor
    assert loaded.space.name == f"tiny / {weights}"
    assert (loaded.encode_texts(["a tree"]) == encoder.encode_texts(["a tree"])).all()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        openclip.load("RN50", str(weights), "cpu")


@pytest.mark.parametrize("damage", ["truncated", "empty", "another architecture"])
def test_damaged_weights_never_become_random_ones(model_copy: Path, damage: str) -> None:
    weights = model_copy / "open_clip_model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif damage == "empty":
        weights.write_bytes(b"")
    else:
        edit_config(model_copy, "model_cfg.text_cfg", layers=3)
    with pytest.raises(ModelUnavailable, match="TESTING=1"):
        openclip.load(f"local-dir:{model_copy}", "", "cpu")


def test_a_device_that_is_absent_is_said_so() -> None:
    absent = next(
        name
        for name, present in (
            ("mps", torch.backends.mps.is_available()),
            ("cuda", torch.cuda.is_available()),
        )
        if not present
    )
    with pytest.raises(ModelUnavailable, match=f"DEVICE={absent}"):
        openclip.choose_device(absent)
    assert openclip.choose_device("auto") in {"cuda", "mps", "cpu"}


def test_a_load_that_failed_is_not_tried_again(batcher: Batcher) -> None:
    tries = []

    def fail() -> OpenClipEncoder:
        tries.append(1)
        raise ModelUnavailable("no weights")

    resident = ResidentModel(fail, batcher)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="no weights"):
            resident.load()
    assert len(tries) == 1


def test_a_resident_loads_once_and_serves_both_towers(
    encoder: OpenClipEncoder, batcher: Batcher
) -> None:
    loads = []

    def load() -> OpenClipEncoder:
        loads.append(1)
        return encoder

    resident = ResidentModel(load, batcher)
    texts = resident.encode_texts(["a tree", "a dog"])
    pictures = resident.encode_images([Image.new("RGB", (70, 30))])
    assert len(loads) == 1
    assert (texts.shape[0], pictures.shape[0]) == (2, 1)
    assert (texts == encoder.encode_texts(["a tree", "a dog"])).all()
