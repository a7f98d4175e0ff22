"""A model of open_clip's: loaded and fingerprinted, and what it can be made to run on."""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torchvision.transforms import Compose, Normalize, ToTensor

from app.encoders.towers import (
    Cut,
    Features,
    ImageTower,
    Normalisation,
    Pixels,
    TextTower,
    Tokens,
    TorchTowers,
    Towers,
)
from app.encoders.wanted import Wanted
from app.encoders.weights import WAYS_OUT, find_checkpoint
from app.errors import ModelUnavailable
from app.vectors import Vectors, VectorSpace, unit_rows

Tokenizer = Callable[[list[str]], torch.Tensor]
"""Texts to token ids: int64, shape (len(texts), context length)."""

PROBE_TEXTS = ["A green tree, and a RED car!", "it's  naïve — 自行车", "long " * 200]


class OpenClipEncoder:
    """Both towers of one model on one device. Its methods may be called from any thread."""

    def __init__(
        self,
        towers: Towers,
        shape: Callable[[Image.Image], Image.Image],
        tokenizer: Tokenizer,
        cut: Cut,
        space: VectorSpace,
        most: int | None = None,
    ) -> None:
        """`shape` resizes and crops; `cut` shortens tokens; `most` go at a time."""
        self.towers = towers
        self._shape = shape
        self._tokenizer = tokenizer
        self._cut = cut
        self._most = most
        self.space = space

    def on(
        self, towers: Towers, fingerprint: str | None = None, most: int | None = None
    ) -> "OpenClipEncoder":
        """The same encoder on other towers; `fingerprint`, where their vectors are others."""
        space = replace(self.space, fingerprint=fingerprint or self.space.fingerprint)
        return OpenClipEncoder(towers, self._shape, self._tokenizer, self._cut, space, most)

    @property
    def runtime(self) -> str:
        """`torch` or `openvino`."""
        return self.towers.runtime

    @property
    def precision(self) -> str:
        """`fp32`, `bf16`, `fp16` or `int8`."""
        return self.towers.precision

    @property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return self.towers.device

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize and crop an RGB picture as the model was trained; its towers normalise."""
        return np.asarray(self._shape(image))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: float32, shape (len(texts), dimensions), unit rows."""
        tokens: Tokens = self._tokenizer(list(texts)).numpy()
        return self._encoded(lambda rows: self.towers.texts(self._cut(rows)), tokens)

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Vectors:
        """Embed prepared pictures: float32, shape (len(pixels), dimensions), unit rows."""
        return self._encoded(lambda rows: self.towers.images(np.stack(rows)), pixels)

    def _encoded(self, tower: Callable[[Any], Features], rows: Any) -> Vectors:
        """What `tower` makes of `rows`, as many at a time as go."""
        step = self._most or len(rows)
        parts = [tower(rows[start : start + step]) for start in range(0, len(rows), step)]
        return unit_rows(np.concatenate(parts))


class Loaded:
    """A model's torch modules in fp32, and the encoders that can be made of them."""

    def __init__(
        self,
        text: TextTower,
        transform: Compose,
        tokenizer: Tokenizer,
        space: VectorSpace,
        device: str,
    ) -> None:
        shape, self._normalisation = split(transform)
        self.text = text.to(device)
        self.tokenizer = tokenizer
        self.device = device
        self.encoder = OpenClipEncoder(
            self.towers(torch.float32), shape, tokenizer, text.cut, space
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
    model: str, pretrained: str, device: str, name: str | None = None, wanted: Wanted | None = None
) -> OpenClipEncoder:
    """Load a model by CLIP_MODEL, CLIP_PRETRAINED and DEVICE; `name` is what people call it.

    Raises ModelUnavailable where no weights can be had, they do not fit the architecture, or
    what is wanted of the runtime cannot be.
    """
    from app.encoders.choosing import chosen

    return chosen(load_torch(model, pretrained, device, name), wanted or Wanted())


def load_torch(model: str, pretrained: str, device: str, name: str | None = None) -> Loaded:
    """The same in torch and fp32, whatever suits the machine."""
    checkpoint = find_checkpoint(model, pretrained)
    try:
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
    return Loaded(text, transform, tokenizer, space, choose_device(device))


def split(transform: Compose) -> tuple[Callable[[Image.Image], Image.Image], Normalisation]:
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


def fingerprint_of(model: Any, config: Mapping[str, Any], tokenizer: Tokenizer) -> str:
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
