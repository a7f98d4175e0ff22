"""Loads and fingerprints an open_clip model, and has a runtime chosen for it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2

from app.encoders import fast_start
from app.encoders.encoder import OpenClipEncoder
from app.encoders.file_identity import Files, identities
from app.encoders.model_request import ModelRequest, RuntimeOptions
from app.encoders.torch_models.checkpoints import Checkpoint, find_checkpoint
from app.encoders.torch_models.loaded_model import LoadedModel, TorchTokenizer
from app.encoders.torch_models.runtime_choice import choose_runtime
from app.encoders.torch_models.towers import TextTower
from app.encoders.torch_models.ways_out import OF_SEARCHES, offered
from app.errors import ModelUnavailable
from app.vectors import VectorSpace

PROBE_TEXTS = ["A green tree, and a RED car!", "it's  naïve — 自行车", "long " * 200]


def load(
    model: str,
    pretrained: str,
    device: str,
    name: str | None = None,
    options: RuntimeOptions | None = None,
) -> OpenClipEncoder:
    """Load a model by CLIP_MODEL, CLIP_PRETRAINED and DEVICE; `name` is its display name.

    Where possible, a record is stored that lets the next start do without torch. Raises
    ModelUnavailable if no weights can be obtained, they do not fit the architecture, or the
    requested runtime options cannot be met.
    """
    options = options or RuntimeOptions()
    loaded = load_torch(model, pretrained, device, name)
    encoder, trials = choose_runtime(loaded, options)
    if trials is not None:
        fast_start.keep(
            ModelRequest(model, pretrained, device, name, options), loaded, encoder, trials
        )
    return encoder


def load_torch(model: str, pretrained: str, device: str, name: str | None = None) -> LoadedModel:
    """Load the model in torch and fp32, whatever would suit the machine best."""
    with offered(OF_SEARCHES):
        checkpoint = find_checkpoint(model, pretrained)
        towers, config, tokenizer, files = create(checkpoint, model, pretrained)
    towers.eval().requires_grad_(False)
    transform = image_transform_v2(PreprocessCfg(**towers.visual.preprocess_cfg), is_train=False)
    named = "" if checkpoint.weights is None else pretrained  # a folder or repository needs no tag
    fingerprint = fingerprint_of(towers, config, tokenizer)
    text = TextTower(towers)
    space = VectorSpace(name or model, named, fingerprint, text.check(tokenizer(PROBE_TEXTS[:1])))
    return LoadedModel(
        text, transform, tokenizer, space, choose_device(device), checkpoint.place, files
    )


def create(
    checkpoint: Checkpoint, model: str, pretrained: str
) -> tuple[Any, dict[str, Any], TorchTokenizer, Files]:
    """A checkpoint's modules with its weights, its architecture, tokenizer, and files as read.

    `model` and `pretrained` are what it is called in messages. Raises ModelUnavailable.
    """
    try:
        files = {} if checkpoint.place is None else identities([checkpoint.place])
        config = open_clip.get_model_config(checkpoint.model_name)
        towers = open_clip.create_model(
            checkpoint.model_name,
            pretrained=checkpoint.weights,
            force_preprocess_cfg=checkpoint.preprocess,
            require_pretrained=True,
            weights_only=True,
            **checkpoint.text_files.model_options(config),
        )
        tokenizer = checkpoint.text_files.load_tokenizer(config) or open_clip.get_tokenizer(
            checkpoint.model_name
        )
    except Exception as error:  # open_clip, torch and safetensors each raise their own types
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelUnavailable(f"{model} / {pretrained} cannot be loaded: {reason}") from error
    return towers, config, tokenizer, files


def choose_device(setting: str) -> str:
    """The device that DEVICE names; for `auto`, the first of CUDA, MPS and CPU that is available.

    Raises ModelUnavailable if that device is not available.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if setting == "auto":
        return next(name for name, present in there.items() if present)
    if not there[setting]:
        raise ModelUnavailable(
            f"IMAGE_SEARCH_DEVICE={setting}: this machine has none. Set IMAGE_SEARCH_DEVICE=auto."
        )
    return setting


def fingerprint_of(model: Any, config: Mapping[str, Any], tokenizer: TorchTokenizer) -> str:
    """SHA-256 over weights, architecture, preprocessing and tokenizer, as hex.

    Two models with the same fingerprint give the same vectors, up to rounding. The tokenizer is
    represented by its output for PROBE_TEXTS, since its settings are scattered over many places.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().contiguous().cpu().numpy().data)
    settings = {"model": config, "preprocess": model.visual.preprocess_cfg}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(tokenizer(PROBE_TEXTS).numpy().data)
    return digest.hexdigest()
