"""An open_clip model in memory, before its runtime has been chosen."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torchvision.transforms import Compose, Normalize, ToTensor

from app.encoders.encoder import OpenClipEncoder, Shape
from app.encoders.file_identity import Files
from app.encoders.interfaces import Tokens
from app.encoders.torch_models.towers import ImageTower, Normalisation, TextTower, TorchTowers
from app.errors import ModelUnavailable
from app.vectors import VectorSpace

TorchTokenizer = Callable[[list[str]], torch.Tensor]
"""Maps texts to token ids: int64, shape (len(texts), context length)."""


class LoadedModel:
    """A model's torch modules in fp32, and the encoders that can be built from them."""

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
        """`place` is where it was read from, None if scattered; `files` is their state then."""
        shape, self._normalisation = split(transform)
        self.place = place
        self.files = files or {}
        self.text = text.to(device)
        self.tokenizer = tokenizer
        self.device = device
        self.encoder = OpenClipEncoder(
            self.towers(torch.float32),
            shape,
            partial(_arrays, tokenizer),
            text.cut,
            space,
            float(text.model.logit_scale.detach().exp()),
        )

    def towers(self, dtype: torch.dtype) -> TorchTowers:
        """Both towers in torch; the model is copied for any dtype other than its own."""
        if dtype == torch.float32:
            return TorchTowers(self.image_tower(), self.text, self.device)
        text = copy.deepcopy(self.text).to(dtype)
        return TorchTowers(self.image_tower(text.model, dtype), text, self.device)

    def image_tower(self, model: Any = None, dtype: torch.dtype = torch.float32) -> ImageTower:
        """The image tower of the model itself, or of `model`, a copy in another dtype."""
        tower = ImageTower(model or self.text.model, self._normalisation, dtype).to(self.device)
        # Pixels come channels-last, a layout that GPU convolutions take directly.
        return tower.to(memory_format=torch.channels_last) if self.device == "cuda" else tower


def _arrays(tokenizer: TorchTokenizer, texts: list[str]) -> Tokens:
    tokens: Tokens = tokenizer(texts).numpy()
    return tokens


def split(transform: Compose) -> tuple[Shape, Normalisation]:
    """Split open_clip's preprocessing into its picture operations and its normalisation.

    Raises ModelUnavailable if it does not end with ToTensor and Normalize.
    """
    *shaping, to_tensor, normalize = transform.transforms
    if not (isinstance(to_tensor, ToTensor) and isinstance(normalize, Normalize)):
        raise ModelUnavailable(
            f"This program does not know the way in which the model prepares pictures: {transform}"
        )
    return Compose(shaping), Normalisation(tuple(normalize.mean), tuple(normalize.std))
