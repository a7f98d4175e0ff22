"""Loads a CoCa of open_clip, and has it write captions.

open_clip's own `generate` needs a former version of the package transformers, for beam search;
this takes the most probable token each time, which needs nothing else, as `generate` can too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from open_clip.coca_model import CoCa
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image as Pillow

from app.encoders.captions import Caption
from app.encoders.torch_models.checkpoints import find_checkpoint
from app.encoders.torch_models.openclip import choose_device, create
from app.encoders.torch_models.ways_out import of_captions
from app.errors import ModelUnavailable

MAX_TOKENS = 28  # of a caption: open_clip's own `generate` has 30 with the marks of both ends


@dataclass(frozen=True)
class CocaCaptioner:
    """Writes captions in English; any thread may call."""

    model: CoCa
    transform: Any
    tokenizer: open_clip.SimpleTokenizer
    device: str

    def describe(self, images: Sequence[Pillow.Image]) -> list[Caption]:
        """A caption for each RGB picture; empty where the model has nothing to say."""
        pixels = torch.stack([self.transform(image) for image in images]).to(self.device)
        with torch.inference_mode():
            tokens, confidences = self._generate(pixels)
        return [
            Caption(self._text(row), float(confidence))
            for row, confidence in zip(tokens.tolist(), confidences, strict=True)
        ]

    def _generate(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids (n, length), and the geometric mean of their probabilities (n,)."""
        begin, end, pad = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id, 0
        seen = self.model(pixels)
        latent = {"image_latent": seen["image_features"], "image_embs": seen["image_embs"]}
        tokens = torch.full((len(pixels), 1), begin, device=pixels.device)
        logs, is_open = torch.zeros_like(tokens[:, 0], dtype=torch.float32), tokens[:, 0] == begin
        lengths = torch.zeros_like(logs)
        for _ in range(min(MAX_TOKENS, self.model.context_length - 1)):
            logits = self.model(pixels, tokens, output_labels=False, **latent)["logits"][:, -1]
            logits[:, [begin, pad]] = -torch.inf
            likely = logits.float().log_softmax(1).max(1)
            tokens = torch.cat([tokens, torch.where(is_open, likely.indices, end)[:, None]], 1)
            logs, lengths = logs + likely.values * is_open, lengths + is_open
            is_open = is_open & (likely.indices != end)
            if not is_open.any():
                break
        return tokens, (logs / lengths).exp()

    def _text(self, tokens: Sequence[int]) -> str:
        end = self.tokenizer.eot_token_id
        said = tokens[1 : tokens.index(end)] if end in tokens else tokens[1:]
        return " ".join(self.tokenizer.decode(said).split())


def load(model: str, pretrained: str, device: str) -> CocaCaptioner:
    """Load a captioner as `openclip.load_torch` does a model; never one with random weights.

    Raises ModelUnavailable, also if it is none of open_clip's CoCa models.
    """
    with of_captions(f"{model}@{pretrained}".rstrip("@")):
        checkpoint = find_checkpoint(model, pretrained)
        towers, _, tokenizer, _ = create(checkpoint, model, pretrained)
        if not isinstance(towers, CoCa) or not isinstance(tokenizer, open_clip.SimpleTokenizer):
            raise ModelUnavailable(
                "It writes no captions: choose one of open_clip's models whose name begins with "
                "coca."
            )
    chosen = choose_device(device)
    towers.eval().requires_grad_(False).to(chosen)
    transform = image_transform_v2(PreprocessCfg(**towers.visual.preprocess_cfg), is_train=False)
    return CocaCaptioner(towers, transform, tokenizer, chosen)
