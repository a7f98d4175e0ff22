"""Presets: what each stands for, who gets which, and that docs/models.md says the same."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import open_clip
import pytest
from open_clip.pretrained import get_pretrained_cfg

from app.encoders.model_pool import ModelName
from app.encoders.presets import PRESETS, understands_english_alone
from app.encoders.torch_models.transformers_package import (
    INSTALL_TRANSFORMERS,
    check_transformers,
)
from app.errors import ModelUnavailable, SettingsInvalid
from app.runtime.assembly import open_services
from app.runtime.models import default_model, model_name
from app.settings import ROOT, Settings
from tests.fixtures.tiny_models import tiny_model

RETRIEVAL = ModelName("ViT-B-32", "laion2b_s34b_b79k")
LABELS = ModelName("ViT-B-32", "datacomp_xl_s13b_b90k")


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ({}, RETRIEVAL),
        ({"clip_model": "retrieval"}, RETRIEVAL),
        ({"clip_model": "labels"}, LABELS),
        ({"clip_model": "ViT-B-32"}, LABELS),  # as before there were presets
        ({"clip_pretrained": "openai"}, ModelName("ViT-B-32", "openai")),
        ({"clip_model": "RN50", "clip_pretrained": "cc12m"}, ModelName("RN50", "cc12m")),
        ({"clip_model": "local-dir:/a"}, ModelName("local-dir:/a", "")),
    ],
)
def test_settings_name_a_model(named: dict[str, str], wanted: ModelName) -> None:
    assert default_model(Settings(**named)) == wanted


def test_a_preset_names_its_weights_itself() -> None:
    with pytest.raises(SettingsInvalid, match="leave IMAGE_SEARCH_CLIP_PRETRAINED empty"):
        default_model(Settings(clip_model="best", clip_pretrained="webli"))


def test_collections_may_have_presets_too() -> None:
    assert model_name("multilingual") == PRESETS["multilingual"].model
    assert model_name("RN50@cc12m") == ModelName("RN50", "cc12m")


def test_open_clip_has_the_weights_of_each_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that need `transformers` say so."""
    monkeypatch.setattr(
        "app.encoders.torch_models.transformers_package.find_spec", lambda _name: None
    )
    for preset in PRESETS.values():
        model = preset.model
        assert get_pretrained_cfg(model.model, model.pretrained)
        config = open_clip.get_model_config(model.model)
        if preset.needs_transformers:
            with pytest.raises(ModelUnavailable, match="transformers"):
                check_transformers(model.model, config)
        else:
            check_transformers(model.model, config)


@pytest.mark.parametrize(
    ("model", "english"),
    [
        ("ViT-B-32", True),
        ("roberta-ViT-B-32", True),
        ("xlm-roberta-base-ViT-B-32", False),
        ("ViT-B-32-SigLIP2-256", False),
        ("ViT-B-16-SigLIP-i18n-256", False),
        ("nllb-clip-base", False),
        ("demo model", False),
        ("local-dir:/a", False),
    ],
)
def test_a_name_tells_whether_a_model_understands_english_alone(model: str, english: bool) -> None:
    assert understands_english_alone(model) == english


def test_a_database_keeps_its_model_where_none_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 18, line 21. The default is neither loaded nor asked for."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = tiny_model(tmp_path / "tiny", seed=3)
    named = settings.model_copy(update={"testing": False, "clip_model": model})
    with open_services(named) as services:
        made = services.registry.default.index
    unnamed = named.model_copy(update={"clip_model": None})
    with open_services(unnamed) as services:
        assert services.registry.default.index == made
        assert services.model_name == model


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of docs/models.md, without its head."""
    page = (ROOT / "docs" / "models.md").read_text()
    lines = page.partition(f"## {heading}\n")[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|")) + 2
    found = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        found.append([cell.strip(" `") for cell in line.strip("|").split("|")])
    return found


def test_the_page_of_models_lists_the_presets() -> None:
    """Each with its licence, with figures, and with what it costs."""
    listed = {name: (ModelName(model, tag), end) for name, model, tag, _, end in rows("Presets")}
    assert listed == {name: (one.model, one.licence) for name, one in PRESETS.items()}
    figures = [(model, tag) for model, tag, *_ in rows("Figures")]
    assert len(figures) == len(set(figures))
    cost = {model: cells for model, *cells in rows("Cost")}
    assert {model for model, _ in figures} == set(cost)
    for one in PRESETS.values():
        assert (one.model.model, one.model.pretrained) in figures
        assert bool(cost[one.model.model][6]) == one.needs_transformers
        assert cost[one.model.model][7] == one.licence


def test_the_extra_is_what_people_are_told_to_install() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    assert INSTALL_TRANSFORMERS.strip("`") in page
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = shlex.split(INSTALL_TRANSFORMERS.strip("`"))[3:]
    assert packages == project["optional-dependencies"]["multilingual"]


@pytest.mark.parametrize("row", rows("Cost"), ids=lambda row: row[0])
def test_the_page_of_models_has_open_clips_architectures(row: list[str]) -> None:
    model, _, dimensions, _, _, tokens, languages, *_ = row
    config: dict[str, Any] = open_clip.get_model_config(model)
    assert config["embed_dim"] == int(dimensions.replace(",", ""))
    assert config["text_cfg"].get("context_length", 77) == int(tokens)
    assert (languages == "English") == understands_english_alone(model)
    tags = [tag for name, tag, *_ in rows("Figures") if name == model]
    assert all(get_pretrained_cfg(model, tag) for tag in tags)


def test_figures_are_shares_in_percent() -> None:
    for _, _, *figures in rows("Figures"):
        for figure in filter(None, figures):
            assert re.fullmatch(r"\d?\d\.\d", figure)
