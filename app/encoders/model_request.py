"""Which model to load, and what to run it on; importable without torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

Runtime = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
Captioned = tuple[Image.Image, str]
"""An RGB picture and what it shows."""


def _none(_count: int) -> list[Image.Image]:
    return []


@dataclass(frozen=True)
class RuntimeOptions:
    """How to run a model, as set by RUNTIME, PRECISION and MODEL_CACHE_DIR.

    `folder` stores converted models and measurements; with None only torch is used and nothing is
    stored. Only int8 uses the rest: `samples(n)` returns up to n RGB pictures to calibrate it and
    to judge it by, and raises ModelUnavailable where it must not be calibrated; `captioned()`
    returns RGB pictures with their captions, to judge it by too; `most_seconds` is about how long
    it may take to be calibrated, None for as long as it takes.
    """

    runtime: Runtime = "auto"
    precision: Precision = "auto"
    folder: Path | None = None
    samples: Callable[[int], list[Image.Image]] = _none
    captioned: Callable[[], list[Captioned]] = list
    most_seconds: float | None = None


@dataclass(frozen=True)
class ModelRequest:
    """One model to load, by CLIP_MODEL, CLIP_PRETRAINED and DEVICE; `name` is its display name."""

    model: str
    pretrained: str
    device: str
    name: str | None = None
    options: RuntimeOptions = field(default_factory=RuntimeOptions)
