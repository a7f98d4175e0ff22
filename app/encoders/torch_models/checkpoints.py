"""Finds a model's weights, first on this disk and then on the hub; never uses random ones.

open_clip itself only warns about a missing or unknown tag and carries on with random weights;
every path through this module ends with a checkpoint or with ModelUnavailable.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.command_names import typed
from app.encoders.file_identity import CONFIG_FILE
from app.encoders.torch_models.hub_files import HUB, WEIGHT_FILES, check_repository, hub_file
from app.encoders.torch_models.text_files import TextFiles, find_text_files
from app.encoders.torch_models.transformers_package import check_transformers
from app.errors import ModelUnavailable, ModelUnknown

WEIGHT_SUFFIXES = {".safetensors", ".bin", ".pth"}
LOCAL = "local-dir:"


@dataclass(frozen=True)
class Checkpoint:
    """Arguments for open_clip.create_model; everything is on this disk."""

    model_name: str
    weights: str | None  # None: they are in the folder that model_name points to
    preprocess: dict[str, Any] = field(default_factory=dict)
    text_files: TextFiles = field(default_factory=TextFiles)

    @property
    def place(self) -> Path | None:
        """The file or folder that holds everything; None if it is spread over the hub's cache."""
        if self.weights is not None:
            return Path(self.weights)
        local = self.model_name.startswith(LOCAL)
        return Path(self.model_name.removeprefix(LOCAL)) if local else None


def find_checkpoint(model: str, pretrained: str) -> Checkpoint:
    """Resolve CLIP_MODEL and CLIP_PRETRAINED to files on this disk, downloading if needed.

    Raises ModelUnavailable saying what is wrong and how to fix it.
    """
    model = model if ":" in model else model.replace("/", "-")  # as open_clip reads ViT-B/32
    if model.startswith(LOCAL):
        return _from_folder(Path(model.removeprefix(LOCAL)).expanduser())
    if model.startswith(HUB):
        return _from_repository(model.removeprefix(HUB))
    from app.encoders.torch_models import named_models  # open_clip: takes seconds

    weights = named_models.find_weights(model, pretrained)
    return Checkpoint(model, *weights, find_text_files(named_models.config_of(model)))


def check_name(model: str, pretrained: str) -> None:
    """Raise ModelUnknown if no model can be had by this name; nothing is downloaded."""
    if model.startswith(LOCAL):
        _check_folder(Path(model.removeprefix(LOCAL)).expanduser())
    elif model.startswith(HUB):
        check_repository(model.removeprefix(HUB))
    else:
        from app.encoders.torch_models import named_models  # open_clip: takes seconds

        named_models.check_name(model.replace("/", "-"), pretrained)


def _check_folder(folder: Path) -> None:
    if not (folder / CONFIG_FILE).is_file():
        raise ModelUnknown(f"{LOCAL}{folder}: {folder / CONFIG_FILE} is missing.")
    if not any(path.suffix in WEIGHT_SUFFIXES for path in folder.iterdir()):
        raise ModelUnknown(f"{LOCAL}{folder}: the folder holds no weights.")


def _from_folder(folder: Path) -> Checkpoint:
    _check_folder(folder)
    config = _model_config(folder / CONFIG_FILE)
    check_transformers(f"{LOCAL}{folder}", config)
    text_files = find_text_files(config, has_own_tokenizer=True)
    return Checkpoint(f"{LOCAL}{folder}", None, text_files=text_files)


def _from_repository(repository: str) -> Checkpoint:
    config = Path(hub_file(repository, (CONFIG_FILE,)))
    model_config = _model_config(config)
    check_transformers(f"{HUB}{repository}", model_config)
    weights = hub_file(repository, WEIGHT_FILES)
    if Path(weights).parent != config.parent:
        raise ModelUnavailable(
            f"The cache holds {repository}'s configuration and weights of different revisions. "
            f"Run `{typed('pull-model')}` to fetch both again."
        )
    text_files = find_text_files(model_config)
    return Checkpoint(f"{LOCAL}{config.parent}", None, text_files=text_files)


def _model_config(file: Path) -> dict[str, Any]:
    """The architecture in a configuration file; open_clip will reject an unreadable one."""
    with suppress(ValueError, AttributeError):
        return dict(json.loads(file.read_text()).get("model_cfg") or {})
    return {}
