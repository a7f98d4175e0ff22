"""A model of open_clip's: loaded and fingerprinted, and what it can be made to run on."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from torchvision.transforms import Compose, Normalize, ToTensor

from app.encoders import fast_start
from app.encoders.encoder import OpenClipEncoder, Shape
from app.encoders.file_identity import Files, identities
from app.encoders.interfaces import Tokens
from app.encoders.model_request import ModelRequest, RuntimeOptions
from app.encoders.torch_models.checkpoints import WAYS_OUT, find_checkpoint
from app.encoders.torch_models.towers import ImageTower, Normalisation, TextTower, TorchTowers
from app.errors import ModelUnavailable
from app.vectors import VectorSpace

TorchTokenizer = Callable[[list[str]], torch.Tensor]
"""Texts to token ids: int64, shape (len(texts), context length)."""

PROBE_TEXTS = ["A green tree, and a RED car!", "it's  naïve — 自行车", "long " * 200]


class LoadedModel:
    """A model's torch modules in fp32, and the encoders that can be made of them."""

    def __init__(
        self,
        text: TextTower,
        transform: Compose,
        tokenizer: TorchTokenizer,
        space: VectorSpace,
        device: str,
        place: Path | None = None,
        files: Files | None = None,
    ) -> None:
        """`place` has what it was read from, None: it has no single one; `files` as it was then."""
        shape, self._normalisation = split(transform)
        self.place = place
        self.files = files or {}
        self.text = text.to(device)
        self.tokenizer = tokenizer
        self.device = device
        self.encoder = OpenClipEncoder(
            self.towers(torch.float32), shape, partial(_arrays, tokenizer), text.cut, space
        )

    def towers(self, dtype: torch.dtype) -> TorchTowers:
        """Both towers in torch; the model is copied for any other dtype than its own."""
        if dtype == torch.float32:
            return TorchTowers(self.image_tower(), self.text, self.device)
        text = copy.deepcopy(self.text).to(dtype)
        return TorchTowers(self.image_tower(text.model, dtype), text, self.device)

    def image_tower(self, model: Any = None, dtype: torch.dtype = torch.float32) -> ImageTower:
        """Of the model itself, or of a copy of another dtype."""
        tower = ImageTower(model or self.text.model, self._normalisation, dtype).to(self.device)
        # Pixels come with the channels last: convolutions on a GPU take them so.
        return tower.to(memory_format=torch.channels_last) if self.device == "cuda" else tower


def load(
    model: str,
    pretrained: str,
    device: str,
    name: str | None = None,
    wanted: RuntimeOptions | None = None,
) -> OpenClipEncoder:
    """Load a model by CLIP_MODEL, CLIP_PRETRAINED and DEVICE; `name` is what people call it.

    What lets the next start do without torch is kept, where that can be. Raises ModelUnavailable
    where no weights can be had, they do not fit the architecture, or what is wanted of the runtime
    cannot be.
    """
    from app.encoders.torch_models.runtime_choice import chosen

    wanted = wanted or RuntimeOptions()
    loaded = load_torch(model, pretrained, device, name)
    encoder, trials = chosen(loaded, wanted)
    if trials is not None:
        fast_start.keep(
            ModelRequest(model, pretrained, device, name, wanted), loaded, encoder, trials
        )
    return encoder


def load_torch(model: str, pretrained: str, device: str, name: str | None = None) -> LoadedModel:
    """The same in torch and fp32, whatever suits the machine."""
    checkpoint = find_checkpoint(model, pretrained)
    try:
        files = {} if checkpoint.place is None else identities([checkpoint.place])
        towers = open_clip.create_model(
            checkpoint.model_name,
            pretrained=checkpoint.weights,
            force_preprocess_cfg=checkpoint.preprocess,
            require_pretrained=True,
            weights_only=True,
        )
        config = open_clip.get_model_config(checkpoint.model_name)
        tokenizer = open_clip.get_tokenizer(checkpoint.model_name)
    except Exception as error:  # open_clip, torch and safetensors each raise kinds of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelUnavailable(
            f"{model} / {pretrained} cannot be loaded: {reason} {WAYS_OUT}"
        ) from error
    towers.eval().requires_grad_(False)
    transform = image_transform_v2(PreprocessCfg(**towers.visual.preprocess_cfg), is_train=False)
    named = "" if checkpoint.weights is None else pretrained  # a folder or repository says it all
    fingerprint = fingerprint_of(towers, config, tokenizer)
    text = TextTower(towers)
    space = VectorSpace(name or model, named, fingerprint, text.check(tokenizer(PROBE_TEXTS[:1])))
    return LoadedModel(
        text, transform, tokenizer, space, choose_device(device), checkpoint.place, files
    )


def _arrays(tokenizer: TorchTokenizer, texts: list[str]) -> Tokens:
    tokens: Tokens = tokenizer(texts).numpy()
    return tokens


def split(transform: Compose) -> tuple[Shape, Normalisation]:
    """open_clip's preprocessing as what it does to pictures and what it does to numbers.

    Raises ModelUnavailable where it does not end with ToTensor and Normalize.
    """
    *shaping, to_tensor, normalize = transform.transforms
    if not (isinstance(to_tensor, ToTensor) and isinstance(normalize, Normalize)):
        raise ModelUnavailable(f"This model prepares pictures in a way not known here: {transform}")
    return Compose(shaping), Normalisation(tuple(normalize.mean), tuple(normalize.std))


def choose_device(wanted: str) -> str:
    """`wanted`, or for `auto` the first of CUDA, MPS and CPU that is there.

    Raises ModelUnavailable where the wanted one is absent.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return next(name for name, present in there.items() if present)
    if not there[wanted]:
        raise ModelUnavailable(f"DEVICE={wanted}: this machine has none. Set DEVICE=auto.")
    return wanted


def fingerprint_of(model: Any, config: Mapping[str, Any], tokenizer: TorchTokenizer) -> str:
    """SHA-256 over weights, architecture, preprocessing and tokenizer, as hex.

    Two models with the same fingerprint give the same vectors, up to rounding. The tokenizer
    counts by what it does to PROBE_TEXTS, since its settings lie in many places.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().contiguous().cpu().numpy().data)
    settings = {"model": config, "preprocess": model.visual.preprocess_cfg}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(tokenizer(PROBE_TEXTS).numpy().data)
    return digest.hexdigest()
