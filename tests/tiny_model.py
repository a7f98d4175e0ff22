"""Models that stand for others than the demo model: real ones of open_clip's, made in no time."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file

from app.encoders.weights import CONFIG_FILE, LOCAL, WEIGHT_FILES

CLIP_TOKENS = 49_408  # the vocabulary of CLIP's own tokenizer


def tiny_model(folder: Path, seed: int, dimensions: int = 32) -> str:
    """Write a model of random weights into `folder`, 3 MB; returns the CLIP_MODEL that loads it.

    The same seed and dimensions give the same weights. The demo model has 128 dimensions.
    """
    config = _config(dimensions)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = open_clip.CLIP(**config["model_cfg"]).state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    save_file({name: tensor.half() for name, tensor in weights.items()}, folder / WEIGHT_FILES[0])
    return f"{LOCAL}{folder}"


def _config(dimensions: int) -> dict[str, Any]:
    vision = {
        "image_size": 32,
        "patch_size": 16,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "pool_type": "avg",  # a class token of random weights hardly looks at the picture
    }
    text = {"context_length": 16, "vocab_size": CLIP_TOKENS, "width": 32, "heads": 2, "layers": 1}
    preprocess = {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    towers = {"embed_dim": dimensions, "vision_cfg": vision, "text_cfg": text}
    return {"model_cfg": towers, "preprocess_cfg": preprocess}
