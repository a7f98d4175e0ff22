"""A model of open_clip's: loaded, fingerprinted, at the best precision that stays faithful."""

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from app.encoders.weights import WAYS_OUT, find_checkpoint
from app.errors import ModelUnavailable
from app.vectors import Vectors, VectorSpace, unit_rows

log = logging.getLogger(__name__)

Pixels = torch.Tensor
"""One prepared picture: float32, shape (3, height, width), normalised for its model."""

Tokenizer = Callable[[list[str]], torch.Tensor]
"""Texts to token ids: int64, shape (len(texts), context length)."""

PROBE_TEXTS = ["A green tree, and a RED car!", "it's  naïve — 自行车", "long " * 200]
MINIMUM_COSINE = 0.999  # of the reduced precision's golden embeddings to those of fp32
GOLDEN_TEXTS = ["a green tree", "a red car on a road", "自行车", "two dogs"]
GOLDEN_IMAGES = 4
GOLDEN_SEED = 20_26


class OpenClipEncoder:
    """Both towers of one model on one device. Its methods may be called from any thread."""

    def __init__(
        self,
        model: Any,  # open_clip's CLIP, CustomTextCLIP or CoCa
        transform: Callable[[Image.Image], Pixels],
        tokenizer: Tokenizer,
        space: VectorSpace,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        self._model = model
        self._transform = transform
        self._tokenizer = tokenizer
        self._device = device
        self._dtype = dtype
        self.space = space

    def reduced(self) -> "OpenClipEncoder":
        """The same encoder in bf16."""
        model = copy.deepcopy(self._model).to(torch.bfloat16)
        return OpenClipEncoder(
            model, self._transform, self._tokenizer, self.space, self._device, torch.bfloat16
        )

    @property
    def precision(self) -> str:
        """`fp32` or `bf16`."""
        return "bf16" if self._dtype == torch.bfloat16 else "fp32"

    @property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return self._device

    def prepare(self, image: Image.Image) -> Pixels:
        """Resize, crop and normalise an RGB picture as the model was trained."""
        return self._transform(image)

    def encode_texts(self, texts: list[str]) -> Vectors:
        """Embed texts: float32, shape (len(texts), dimensions), unit rows."""
        tokens = self._tokenizer(texts).to(self._device)
        with torch.inference_mode():
            return _rows(self._model.encode_text(tokens))

    def encode_pixels(self, pixels: list[Pixels]) -> Vectors:
        """Embed prepared pictures: float32, shape (len(pixels), dimensions), unit rows."""
        batch = torch.stack(pixels).to(self._device, self._dtype)
        with torch.inference_mode():
            return _rows(self._model.encode_image(batch))


def load(model: str, pretrained: str, device: str, name: str | None = None) -> OpenClipEncoder:
    """Load a model by CLIP_MODEL, CLIP_PRETRAINED and DEVICE; `name` is what people call it.

    Raises ModelUnavailable where no weights can be had or they do not fit the architecture.
    """
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
    dimensions = _dimensions(towers, tokenizer)
    space = VectorSpace(name or model, named, fingerprint, dimensions)
    place = choose_device(device)
    encoder = OpenClipEncoder(towers.to(place), transform, tokenizer, space, place, torch.float32)
    return reduced_if_faithful(encoder) if has_bfloat16(place) else encoder


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


def has_bfloat16(device: str) -> bool:
    """Whether `device` is a CPU that multiplies bf16 in hardware."""
    capabilities = torch.cpu.get_capabilities()
    return device == "cpu" and any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


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


def _dimensions(model: Any, tokenizer: Tokenizer) -> int:
    with torch.inference_mode():
        return int(model.encode_text(tokenizer(["x"])).shape[-1])


def reduced_if_faithful(encoder: OpenClipEncoder) -> OpenClipEncoder:
    """The encoder in bf16 where its golden embeddings stay close to fp32's, else as it is."""
    reduced = encoder.reduced()
    cosine = lowest_cosine(encoder, reduced)
    if cosine >= MINIMUM_COSINE:
        return reduced
    log.warning("bf16 embeddings have a cosine of only %.5f to fp32's; using fp32", cosine)
    return encoder


def lowest_cosine(exact: OpenClipEncoder, reduced: OpenClipEncoder) -> float:
    """The least cosine between the embeddings that two encoders give the golden inputs."""
    generator = np.random.default_rng(GOLDEN_SEED)
    coarse = generator.integers(0, 256, (GOLDEN_IMAGES, 8, 8, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels).resize((256, 256)) for pixels in coarse]
    lowest = 1.0
    pixels = [exact.prepare(image) for image in images]
    for a, b in (
        (exact.encode_texts(GOLDEN_TEXTS), reduced.encode_texts(GOLDEN_TEXTS)),
        (exact.encode_pixels(pixels), reduced.encode_pixels(pixels)),
    ):
        lowest = min(lowest, float((a * b).sum(axis=1).min()))
    return lowest


def _rows(features: torch.Tensor) -> Vectors:
    return unit_rows(features.float().cpu().numpy())
