"""Which model to load, and what to run it on; importable without torch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from PIL import Image

Runtime = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16", "int8"]


def _none(_count: int) -> list[Image.Image]:
    return []


@dataclass(frozen=True)
class RuntimeOptions:
    """By RUNTIME, PRECISION and MODEL_CACHE_DIR.

    `folder` keeps converted models and what was measured; None: torch alone, and nothing is kept.
    `samples` gives up to so many RGB pictures that int8 is calibrated and judged on.
    """

    runtime: Runtime = "auto"
    precision: Precision = "auto"
    folder: Path | None = None
    samples: Callable[[int], list[Image.Image]] = _none


@dataclass(frozen=True)
class ModelRequest:
    """One model to load: by CLIP_MODEL, CLIP_PRETRAINED and DEVICE; `name` is what it is called."""

    model: str
    pretrained: str
    device: str
    name: str | None = None
    wanted: RuntimeOptions = field(default_factory=RuntimeOptions)
