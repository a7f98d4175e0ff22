"""The weights of a model that open_clip knows by its name: a tag's, or those of a file."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained_from_url, get_pretrained_cfg

from app.encoders.torch_models.architectures import check_activation, preprocess_of_tag
from app.encoders.torch_models.file_preprocessing import preprocess_of_file
from app.encoders.torch_models.hub_files import WAYS_OUT, WEIGHT_FILES, fetch, hub_file
from app.encoders.torch_models.transformers_package import check_transformers
from app.errors import ModelUnavailable

Weights = tuple[str, dict[str, Any]]
"""The file, and what open_clip is to be told of its preprocessing."""


def find_weights(model: str, pretrained: str) -> Weights:
    """The weights that `pretrained` names, downloaded if needed. Raises ModelUnavailable."""
    if model not in open_clip.list_models():
        raise ModelUnavailable(
            f"IMAGE_SEARCH_CLIP_MODEL={model}: open_clip knows no such model. `python -c 'import "
            "open_clip; print(open_clip.list_models())'` lists them."
        )
    check_transformers(model, config_of(model))
    if get_pretrained_cfg(model, pretrained):
        return _of_tag(model, pretrained)
    return _of_file(model, pretrained)


def config_of(model: str) -> dict[str, Any]:
    """open_clip's configuration of an architecture; empty if it has none."""
    return open_clip.get_model_config(model) or {}


def _of_file(model: str, pretrained: str) -> Weights:
    path = Path(pretrained).expanduser()
    with suppress(OSError):  # for example, a value too long to be a path
        if path.is_file():
            return str(path), preprocess_of_file(model, path)
    known = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
    raise ModelUnavailable(
        f"IMAGE_SEARCH_CLIP_PRETRAINED={pretrained}: neither a file nor a tag of {model} (its "
        f"tags: {known}). {WAYS_OUT}"
    )


def _of_tag(model: str, tag: str) -> Weights:
    check_activation(model, tag)
    return _tag_file(get_pretrained_cfg(model, tag)), preprocess_of_tag(model, tag)


def _tag_file(found: dict[str, Any]) -> str:
    if location := found.get("hf_hub"):
        repository, _, filename = location.rpartition("/")
        return hub_file(repository, (filename,) if filename else WEIGHT_FILES)
    return fetch(found["url"], partial(download_pretrained_from_url, found["url"]))
