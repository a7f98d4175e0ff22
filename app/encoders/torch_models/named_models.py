"""The weights of a model that open_clip knows by its name: a tag's, or those of a file."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained_from_url, get_pretrained_cfg

from app.encoders.torch_models.architectures import check_activation, preprocess_of_tag
from app.encoders.torch_models.file_preprocessing import preprocess_of_file
from app.encoders.torch_models.hub_files import WEIGHT_FILES, fetch, hub_file
from app.encoders.torch_models.transformers_package import check_transformers
from app.errors import ModelUnknown

Weights = tuple[str, dict[str, Any]]
"""The file, and what open_clip is to be told of its preprocessing."""


def find_weights(model: str, pretrained: str) -> Weights:
    """The weights that `pretrained` names, downloaded if needed. Raises ModelUnavailable."""
    check_name(model, pretrained)
    if get_pretrained_cfg(model, pretrained):
        return _of_tag(model, pretrained)
    file = Path(pretrained).expanduser()
    return str(file), preprocess_of_file(model, file)


def check_name(model: str, pretrained: str) -> None:
    """Raise ModelUnknown unless open_clip knows the model, and `pretrained` is a tag or a file."""
    if model not in open_clip.list_models():
        raise ModelUnknown(
            f"open_clip knows no model {model}. `python -c 'import open_clip; "
            "print(open_clip.list_models())'` lists them."
        )
    check_transformers(model, config_of(model))
    if get_pretrained_cfg(model, pretrained):
        check_activation(model, pretrained)
    elif not _is_file(pretrained):
        known = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
        raise ModelUnknown(
            f"{pretrained or 'no tag'} is neither a file nor a tag of {model} (its tags: {known})."
        )


def config_of(model: str) -> dict[str, Any]:
    """open_clip's configuration of an architecture; empty if it has none."""
    return open_clip.get_model_config(model) or {}


def _is_file(path: str) -> bool:
    with suppress(OSError):  # for example, a value too long to be a path
        return Path(path).expanduser().is_file()
    return False


def _of_tag(model: str, tag: str) -> Weights:
    return _tag_file(get_pretrained_cfg(model, tag)), preprocess_of_tag(model, tag)


def _tag_file(found: dict[str, Any]) -> str:
    if location := found.get("hf_hub"):
        repository, _, filename = location.rpartition("/")
        return hub_file(repository, (filename,) if filename else WEIGHT_FILES)
    url = found["url"]
    return fetch(
        url, partial(download_pretrained_from_url, url), "Download that file on another machine."
    )
