"""The demo model itself: its shape, its files, and what training does with it."""

import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from scripts.demo_model.scenes import TRAIN_PX

CONTEXT_LENGTH = 40
MODEL: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": TRAIN_PX, "layers": [1, 1, 1, 1], "width": 24, "patch_size": None},
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": 49408,
        "width": 128,
        "heads": 4,
        "layers": 2,
    },
}
MEAN, STD = 0.5, 0.25
"""The same for all three channels: rendered scenes have no tint to correct."""
PREPROCESS = {
    "mean": [MEAN] * 3,
    "std": [STD] * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
TOKEN_TABLE = "token_embedding.weight"  # noqa: S105 (words, no secret)
READABLE = 0o644

TEXT_CHUNKS = 4
WARM_UP_STEPS = 100
WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.98)


@dataclass(frozen=True)
class Budget:
    """How long to train: minutes by the clock, counted from now, or a number of steps."""

    minutes: float
    steps: int | None
    start: float = field(default_factory=time.monotonic)

    def part(self, share: float) -> "Budget":
        """A budget of a share of this one, counted from now."""
        steps = None if self.steps is None else max(1, round(self.steps * share))
        return Budget(self.minutes * share, steps)

    def progress(self, step: int) -> float:
        """The share spent before `step`; 1 or more when it is used up."""
        if self.steps is not None:
            return step / self.steps
        return (time.monotonic() - self.start) / (60 * self.minutes)


def build_model(seed: int, device: torch.device) -> open_clip.CLIP:
    """The untrained model, float32; convolutions run in channels-last order."""
    torch.manual_seed(seed)
    model = open_clip.CLIP(**MODEL)
    return model.to(device, memory_format=torch.channels_last)


def load(model: open_clip.CLIP, folder: Path) -> None:
    """Load the saved weights into `model`."""
    model.load_state_dict({k: v.float() for k, v in load_file(folder / WEIGHTS_FILE).items()})


def save(model: open_clip.CLIP, untrained_table: Tensor, out: Path) -> None:
    """Write both files of the hub's layout, with fp16 weights.

    Rows of the token table that training never touched become zero: a word that was never seen
    should mean nothing instead of something random.
    """
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    table = weights[TOKEN_TABLE]
    weights[TOKEN_TABLE] = table.masked_fill((table == untrained_table).all(1)[:, None], 0)
    out.mkdir(parents=True, exist_ok=True)
    half = {n: (v.half() if v.is_floating_point() else v) for n, v in weights.items()}
    unfinished = out / "unfinished.safetensors"
    save_file({name: value.contiguous() for name, value in half.items()}, unfinished)
    unfinished.chmod(READABLE)
    unfinished.replace(out / WEIGHTS_FILE)
    config = json.dumps({"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}, indent=2)
    (out / CONFIG_FILE).write_text(config + "\n", encoding="utf-8")


def encode_texts(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """Unit rows for tokens (n, context), in chunks of similar length: most captions are short."""
    order = (tokens != 0).sum(1).argsort(stable=True)
    rows = [_encode_trimmed(model, chunk) for chunk in tokens[order].chunk(TEXT_CHUNKS)]
    return torch.cat(rows)[order.argsort()]


def _encode_trimmed(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """`model.encode_text` as unit rows, without the columns that are padding in every row.

    The mask is causal and pooling reads the end token, so padding has no effect on the result.
    """
    length = int((tokens != 0).sum(1).max())
    tokens = tokens[:, :length]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    ends = model.ln_final(x)[torch.arange(len(x), device=x.device), tokens.argmax(1)]
    return functional.normalize(ends @ model.text_projection, dim=-1)


def encode_pictures(model: open_clip.CLIP, pictures: Tensor) -> Tensor:
    """Unit rows for pictures, float32 (n, 3, 64, 64) in 0..1."""
    ready = ((pictures - MEAN) / STD).contiguous(memory_format=torch.channels_last)
    return functional.normalize(model.encode_image(ready), dim=-1)


def contrastive_loss(model: open_clip.CLIP, pictures: Tensor, texts: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy (Radford et al. 2021, figure 3), mean over caption sets.

    `pictures` (n, d) and `texts` (sets * n, d) are unit rows, the texts set by set: a picture
    costs several times what a caption does, so each is encoded once for several captions.
    """
    rows = model.logit_scale.exp() * pictures
    target = torch.arange(len(rows), device=rows.device)
    losses = []
    for i in range(0, len(texts), len(rows)):
        logits = rows @ texts[i : i + len(rows)].T
        losses.append(functional.cross_entropy(logits, target))
        losses.append(functional.cross_entropy(logits.T, target))
    return torch.stack(losses).mean()


def optimizer_for(model: open_clip.CLIP) -> torch.optim.AdamW:
    """AdamW for all that needs gradients; no weight decay on tables, norms and biases."""
    tables = {id(model.token_embedding.weight), id(model.positional_embedding)}
    decayed: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for p in model.parameters():
        if p.requires_grad:
            (rest if p.ndim < 2 or id(p) in tables else decayed).append(p)
    groups: list[dict[str, Any]] = [{"params": decayed, "weight_decay": WEIGHT_DECAY}]
    groups.append({"params": rest, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, betas=BETAS, fused=True)


def rate(peak: float, step: int, progress: float) -> float:
    """The learning rate: linear warm-up, then half a cosine over `progress` 0..1."""
    return peak * min(1, (step + 1) / WARM_UP_STEPS) * (1 + math.cos(math.pi * progress)) / 2
