"""Finds a model's weights, first on this disk and then on the hub; never uses random ones.

open_clip itself only warns about a missing or unknown tag and carries on with random weights;
every path through this module ends with a checkpoint or with ModelUnavailable.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError
from open_clip.pretrained import download_pretrained_from_url, get_pretrained_cfg

from app.encoders.file_identity import CONFIG_FILE
from app.encoders.torch_models.architectures import (
    check_activation,
    check_transformers,
    preprocess_of_tag,
)
from app.encoders.torch_models.file_preprocessing import preprocess_of_file
from app.errors import ModelUnavailable

WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
WEIGHT_SUFFIXES = {".safetensors", ".bin", ".pth"}
HUB, LOCAL = "hf-hub:", "local-dir:"

WAYS_OUT = (
    "Three ways out: `make pull-model` where there is a network, "
    "IMAGE_SEARCH_CLIP_PRETRAINED=/path/to/checkpoint (or "
    "IMAGE_SEARCH_CLIP_MODEL=local-dir:/path) for weights on this disk, or TESTING=1 for the "
    "bundled demo model."
)


@dataclass(frozen=True)
class Checkpoint:
    """Arguments for open_clip.create_model; all but Hugging Face tokenizers are on this disk."""

    model_name: str
    weights: str | None  # None: they are in the folder that model_name points to
    preprocess: dict[str, Any] = field(default_factory=dict)

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
    if model not in open_clip.list_models():
        raise ModelUnavailable(
            f"IMAGE_SEARCH_CLIP_MODEL={model}: open_clip knows no such model. `python -c 'import "
            "open_clip; print(open_clip.list_models())'` lists them."
        )
    check_transformers(model, open_clip.get_model_config(model) or {})
    if get_pretrained_cfg(model, pretrained):
        return _from_tag(model, pretrained)
    return _from_file(model, pretrained)


def _from_folder(folder: Path) -> Checkpoint:
    if not (folder / CONFIG_FILE).is_file():
        raise ModelUnavailable(
            f"IMAGE_SEARCH_CLIP_MODEL={LOCAL}{folder}: {folder / CONFIG_FILE} is missing."
        )
    if not any(path.suffix in WEIGHT_SUFFIXES for path in folder.iterdir()):
        raise ModelUnavailable(
            f"IMAGE_SEARCH_CLIP_MODEL={LOCAL}{folder}: the folder holds no weights."
        )
    check_transformers(f"{LOCAL}{folder}", _model_config(folder / CONFIG_FILE))
    return Checkpoint(f"{LOCAL}{folder}", None)


def _from_repository(repository: str) -> Checkpoint:
    config = Path(_hub_file(repository, (CONFIG_FILE,)))
    model_config = _model_config(config)
    check_transformers(f"{HUB}{repository}", model_config)
    weights = _hub_file(repository, WEIGHT_FILES)
    if "hf_tokenizer_name" in model_config.get(
        "text_cfg", {}
    ):  # the tokenizer has files of its own in the repository
        return Checkpoint(f"{HUB}{repository}", None)
    if Path(weights).parent != config.parent:
        raise ModelUnavailable(
            f"The cache holds {repository}'s configuration and weights of different revisions. "
            "Run `make pull-model` to fetch both again."
        )
    return Checkpoint(f"{LOCAL}{config.parent}", None)


def _model_config(file: Path) -> dict[str, Any]:
    """The architecture in a configuration file; open_clip will reject an unreadable one."""
    with suppress(ValueError, AttributeError):
        return dict(json.loads(file.read_text()).get("model_cfg") or {})
    return {}


def _from_file(model: str, pretrained: str) -> Checkpoint:
    path = Path(pretrained).expanduser()
    with suppress(OSError):  # for example, a value too long to be a path
        if path.is_file():
            return Checkpoint(model, str(path), preprocess_of_file(model, path))
    known = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
    raise ModelUnavailable(
        f"IMAGE_SEARCH_CLIP_PRETRAINED={pretrained}: neither a file nor a tag of {model} (its "
        f"tags: {known}). {WAYS_OUT}"
    )


def _from_tag(model: str, tag: str) -> Checkpoint:
    check_activation(model, tag)
    return Checkpoint(
        model, _tag_file(get_pretrained_cfg(model, tag)), preprocess_of_tag(model, tag)
    )


def _tag_file(found: dict[str, Any]) -> str:
    if location := found.get("hf_hub"):
        repository, _, filename = location.rpartition("/")
        return _hub_file(repository, (filename,) if filename else WEIGHT_FILES)
    return _fetch(found["url"], partial(download_pretrained_from_url, found["url"]))


def _hub_file(repository: str, names: tuple[str, ...]) -> str:
    """The first of `names` that the cache holds, else the first that the hub has."""
    for name in names:
        try:
            return hf_hub_download(repository, name, local_files_only=True)
        except LocalEntryNotFoundError:
            continue
        except HFValidationError as error:
            raise ModelUnavailable(f"IMAGE_SEARCH_CLIP_MODEL={HUB}{repository}: {error}") from error
    for name in names:
        try:
            return _fetch(f"{repository}/{name}", partial(hf_hub_download, repository, name))
        except EntryNotFoundError:
            continue
    raise ModelUnavailable(f"{repository} on the hub has no {' or '.join(names)}. {WAYS_OUT}")


def _fetch(what: str, download: Callable[[], str]) -> str:
    try:
        return download()
    except LocalEntryNotFoundError as error:  # no answer, a refusal, or offline mode
        answer = getattr(error.__cause__, "response", None)
        reason = (
            f"the hub answers {answer.status_code}"
            if answer is not None
            else "the hub cannot be reached"
        )
        raise ModelUnavailable(f"{what} is not in the cache and {reason}. {WAYS_OUT}") from error
    except EntryNotFoundError:
        raise
    except Exception as error:  # a broken transfer, a full disk, a wrong checksum
        raise ModelUnavailable(f"{what} cannot be downloaded: {error} {WAYS_OUT}") from error
