"""How pictures are prepared for weights that are given as a file (issue 21, line 12)."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg

from app.encoders.file_identity import CONFIG_FILE, identities
from app.encoders.torch_models import openclip
from app.encoders.torch_models.checkpoints import find_checkpoint
from app.encoders.torch_models.file_preprocessing import preprocess_of_file
from app.errors import ModelUnavailable

KEYS = ("mean", "std", "interpolation", "resize_mode")
OPENAI = {key: asdict(PreprocessCfg())[key] for key in KEYS}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "weights.pt").write_bytes(b"found, and never read here")
    return tmp_path / "weights.pt"


def prepared(model: str, weights: Path) -> dict[str, Any]:
    return find_checkpoint(model, str(weights)).preprocess


def test_pictures_are_prepared_as_the_architectures_tags_say(weights: Path) -> None:
    """All but three: 51 of 115 architectures were given another model's preprocessing."""
    others, disagreeing = 0, []
    for model in open_clip.list_models():
        tags = open_clip.list_pretrained_tags_by_model(model)
        wanted = [{key: get_pretrained_cfg(model, tag)[key] for key in KEYS} for tag in tags]
        if wanted and all(one == wanted[0] for one in wanted):
            assert preprocess_of_file(model, weights) == wanted[0], model
            others += wanted[0] != OPENAI
        elif wanted:
            disagreeing.append(model)
    assert others > 40
    assert sorted(disagreeing) == ["ViT-H-14", "ViT-H-14-quickgelu", "ViT-L-14"]


def test_the_loaded_model_prepares_pictures_so(tmp_path: Path) -> None:
    """PE-Core-T-16-384 with random weights in a file: 0.5, bilinear and squash, once OpenAI's."""
    weights = tmp_path / "weights.pt"
    torch.save(open_clip.create_model("PE-Core-T-16-384").state_dict(), weights)
    loaded = openclip.load_torch("PE-Core-T-16-384", str(weights), "cpu")
    config = loaded.text.model.visual.preprocess_cfg
    half = (0.5, 0.5, 0.5)
    assert [config[key] for key in KEYS] == [half, half, "bilinear", "squash"]


@pytest.mark.parametrize(
    ("model", "unknown", "known"),
    [
        ("ViT-L-14", "mean, std", {"interpolation": "bicubic", "resize_mode": "shortest"}),
        ("ViT-S-32", "mean, std, interpolation, resize_mode", {}),
    ],
    ids=["tags differ", "no tags"],
)
def test_what_cannot_be_known_is_said_and_can_be_set(
    model: str,
    unknown: str,
    known: dict[str, str],
    weights: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert prepared(model, weights) == known
    (said,) = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert f"the {unknown} that" in said.getMessage()
    assert str(weights.with_name(CONFIG_FILE)) in said.getMessage()
    caplog.clear()
    wanted = {
        "mean": [0.1, 0.2, 0.3],
        "std": [1, 1, 0.5],
        "interpolation": "bilinear",
        "resize_mode": "longest",
    }
    weights.with_name(CONFIG_FILE).write_text(json.dumps({"preprocess_cfg": wanted}))
    assert prepared(model, weights) == wanted
    assert not [one for one in caplog.records if one.levelno == logging.WARNING]


def test_a_configuration_beside_the_file_wins_over_tags(weights: Path) -> None:
    told = {"preprocess_cfg": {"resize_mode": "longest", "size": 999}}
    weights.with_name(CONFIG_FILE).write_text(json.dumps(told))
    found = prepared("PE-Core-T-16-384", weights)
    assert found["resize_mode"] == "longest"
    assert found["interpolation"] == "bilinear"
    assert "size" not in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not an open_clip configuration"),
        ("[]", "is not an open_clip configuration"),
        ('{"preprocess_cfg": {"mean": 0.5}}', "preprocess_cfg.mean is 0.5"),
        ('{"preprocess_cfg": {"std": [1, 1, 0]}}', "preprocess_cfg.std"),
        ('{"preprocess_cfg": {"mean": [1, 1, NaN]}}', "preprocess_cfg.mean"),
        ('{"preprocess_cfg": {"interpolation": "lanczos"}}', "preprocess_cfg.interpolation"),
        ('{"preprocess_cfg": {"resize_mode": []}}', "preprocess_cfg.resize_mode"),
    ],
)
def test_a_wrong_configuration_is_refused(text: str, words: str, weights: Path) -> None:
    weights.with_name(CONFIG_FILE).write_text(text)
    with pytest.raises(ModelUnavailable, match=words):
        prepared("ViT-B-32", weights)


def test_a_fast_start_notices_a_configuration_that_appears(weights: Path) -> None:
    before = identities([weights])
    weights.with_name(CONFIG_FILE).write_text("{}")
    assert identities([weights]) != before
