"""The two towers of an open_clip model as modules that any runtime can run.

The image tower takes 8-bit pixels and normalises them itself, once per batch. The text tower
accepts token rows of any length where that does not change the result.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import open_clip
import torch
from open_clip.hf_model import ClsLastHiddenStatePooler, ClsPooler, HFTextEncoder, MeanPooler
from open_clip.transformer import TextTransformer, text_global_pool
from torch import nn

from app.encoders.interfaces import Features, Pixels, TokenCut, Tokens

log = logging.getLogger(__name__)

WHITE = 255.0  # the largest value of a pixel
CUT_COSINE = 0.99999  # minimum between the features of whole and cut tokens
MASKED_POOLERS = (MeanPooler, ClsPooler, ClsLastHiddenStatePooler)  # they ignore padding
PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True)
class Normalisation:
    """The mean a model subtracts and the std it divides by, per channel, for values in 0 … 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class ImageTower(nn.Module):
    """Pixels to features: uint8 (n, height, width, 3) to (n, dimensions) of the model's dtype."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: Any, normalisation: Normalisation, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype
        self.register_buffer("mean", torch.tensor(normalisation.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(normalisation.std).view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Repeat torchvision's ToTensor and Normalize step by step, so the floats are the same."""
        scaled = pixels.permute(0, 3, 1, 2).to(torch.float32).div(WHITE)
        normal = scaled.sub(self.mean).div(self.std)
        features: torch.Tensor = self.model.encode_image(normal.to(self.dtype))
        return features


class TextTower(nn.Module):
    """Tokens to features: int64 (n, positions) to (n, dimensions).

    If `cuts`, positions after the end of the longest text may be left out, since nothing there is
    ever read: either attention is causal and features are read at the end of the text, or padding
    is masked in attention and pooling (XLM-R, NLLB, mT5).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._text = _causal_text(model)
        self.cut = _token_cut(model, self._text)

    @property
    def cuts(self) -> bool:
        """Whether `cut` may shorten token rows."""
        return self.cut.kind is not None

    def check(self, tokens: torch.Tensor) -> int:
        """The features' dimensions; disables cutting if it changes the features of `tokens`."""
        with torch.inference_mode():
            whole = self.model.encode_text(tokens)
            cut = self(torch.from_numpy(self.cut(tokens.numpy())))
        if float(nn.functional.cosine_similarity(whole, cut).min()) < CUT_COSINE:
            log.warning("texts cannot be cut to their length for this model: it takes longer")
            self._text, self.cut = None, TokenCut(None)
        return int(whole.shape[-1])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embed possibly cut tokens; open_clip itself accepts causal texts only at full length."""
        text = self._text
        if text is None:
            whole: torch.Tensor = self.model.encode_text(tokens)
            return whole
        length = tokens.shape[1]
        dtype = text.transformer.get_cast_dtype()
        x = text.token_embedding(tokens).to(dtype) + text.positional_embedding[:length].to(dtype)
        x = text.ln_final(text.transformer(x, attn_mask=text.attn_mask[:length, :length]))
        pooled = text_global_pool(x, tokens, *_pooling(text))
        return _projected(pooled, text.text_projection)


class TorchTowers:
    """Both towers in torch."""

    runtime = "torch"

    def __init__(self, image: ImageTower, text: TextTower, device: str) -> None:
        self._image: Callable[[torch.Tensor], torch.Tensor] = image
        self._text = text
        self.device = device
        self.precision = PRECISIONS[image.dtype]

    def compiled(self) -> Self:
        """A copy whose image tower is compiled on the first call, which takes up to a minute."""
        other = copy.copy(self)
        other._image = torch.compile(self._image, dynamic=True)  # noqa: SLF001  # same class
        return other

    def texts(self, tokens: Tokens) -> Features:
        """Embed texts."""
        with torch.inference_mode():
            return _read(self._text(torch.from_numpy(tokens).to(self.device)))

    def images(self, batch: Pixels) -> Features:
        """Embed pictures."""
        with torch.inference_mode():
            return _read(self._image(self._sent(torch.from_numpy(batch))))

    def _sent(self, batch: torch.Tensor) -> torch.Tensor:
        """Copy to the device; a GPU can copy from pinned memory on its own."""
        if self.device == "cuda":
            return batch.pin_memory().to(self.device, non_blocking=True)
        return batch.to(self.device)


def _read(features: torch.Tensor) -> Features:
    read: Features = features.float().cpu().numpy()
    return read


def _causal_text(model: Any) -> Any | None:
    """The text part of `model`, if its attention is causal and it is read at the text's end."""
    text = model
    if type(model) is open_clip.CustomTextCLIP:
        text = model.text
        if type(text) is not TextTransformer or text.output_tokens:
            return None
        if text.cls_emb is not None or text.use_pad_mask:
            return None
    elif type(model) is not open_clip.CLIP:
        return None
    kind, _ = _pooling(text)
    return text if text.attn_mask is not None and kind in {"argmax", "eos"} else None


def _token_cut(model: Any, causal: Any | None) -> TokenCut:
    """How tokens of `model` may be cut; `causal` is its text tower if attention is causal."""
    if causal is not None:
        return TokenCut(*_pooling(causal))
    text: Any = getattr(model, "text", None)
    if type(model) is not open_clip.CustomTextCLIP or type(text) is not HFTextEncoder:
        return TokenCut(None)
    padding = text.config.pad_token_id
    if padding is None or text.output_tokens or not isinstance(text.pooler, MASKED_POOLERS):
        return TokenCut(None)
    return TokenCut("padding", padding)


def _pooling(text: Any) -> tuple[str, int | None]:
    """Where features are read, and the end-of-text token; open_clip has two names for each."""
    if isinstance(text, TextTransformer):
        return text.pool_type, getattr(text, "eos_id", None)
    return text.text_pool_type, getattr(text, "text_eos_id", None)


def _projected(pooled: torch.Tensor, projection: Any) -> torch.Tensor:
    if projection is None:
        return pooled
    projected: torch.Tensor = (
        projection(pooled) if isinstance(projection, nn.Linear) else pooled @ projection
    )
    return projected
