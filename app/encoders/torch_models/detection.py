"""Detection models of torchvision, with weights from this disk.

Only tensors are read: a safetensors file, or a `state_dict` that torch reads with
`weights_only=True`. Pickled models and TorchScript are programs, and are refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision import models, ops
from torchvision.transforms import functional

from app.errors import AnnotatorUnavailable
from app.pictures.crops import Box

MIN_SCORE = 0.3  # of a detection, 0 to 1
MAX_OVERLAP = 0.6  # intersection over union of two boxes; of more alike ones the surest stays
MIN_SIDE = 0.02  # of a box, as a fraction of the picture's
MAX_BOXES = 16  # of a picture, the surest
NESTED = "model"  # the key under which torchvision's training scripts keep the state_dict

State = Mapping[str, Tensor]


class Detection:
    """A loaded model, by which a picture is looked at."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __call__(self, image: Image.Image) -> list[Box]:
        """Boxes of things in an RGB picture, whatever their class, the surest first."""
        with torch.inference_mode():
            (found,) = self._model([functional.pil_to_tensor(image).float() / 255])
            boxes, scores = found["boxes"], found["scores"]
            sure = scores >= MIN_SCORE
            boxes, scores = boxes[sure], scores[sure]
            kept = boxes[ops.nms(boxes, scores, MAX_OVERLAP)].tolist()
        fractions = [_fractions(one, *image.size) for one in kept]
        return [one for one in fractions if min(one[2:]) >= MIN_SIDE][:MAX_BOXES]


def load_detector(architecture: str, weights: Path) -> Detection:
    """The model with its weights, in evaluation mode on the CPU. Raises AnnotatorUnavailable."""
    known = models.list_models(module=models.detection)
    if architecture not in known:
        raise AnnotatorUnavailable(
            f"regions: torchvision has no detector {architecture}; it has {', '.join(known)}."
        )
    state = _state(weights)
    try:
        model = _built(architecture, _classes(architecture, state))
        model.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise AnnotatorUnavailable(
            f"regions: the weights in {weights} are not those of a {architecture}."
        ) from error
    return Detection(model.eval())


def _state(weights: Path) -> State:
    try:
        if weights.suffix == ".safetensors":
            return load_file(weights)
        loaded: Any = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no such thing makes them raise
        raise AnnotatorUnavailable(
            f"regions: {weights} holds no plain weights. Save the model's state_dict() by "
            "torch.save or safetensors; pickled models and TorchScript are programs and not loaded."
        ) from error
    state = loaded.get(NESTED, loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        raise AnnotatorUnavailable(f"regions: {weights} holds no state_dict of a model.")
    return state


def _classes(architecture: str, state: State) -> int:
    """The number of classes by which the model grows as the weights are. Raises ValueError."""
    with torch.device("meta"):  # shapes alone
        two, three = (_built(architecture, count).state_dict() for count in (2, 3))
    for name, smaller in two.items():
        steps = [b - a for a, b in zip(smaller.shape, three[name].shape, strict=True)]
        if any(steps) and name in state:
            axis = next(n for n, step in enumerate(steps) if step)
            grown = state[name].shape[axis] - smaller.shape[axis]
            return 2 + int(grown // steps[axis])
    raise ValueError("the weights have no layer that tells the number of classes")


def _built(architecture: str, classes: int) -> nn.Module:
    model: nn.Module = models.get_model(
        architecture, weights=None, weights_backbone=None, num_classes=classes
    )
    return model


def _fractions(box: list[float], width: int, height: int) -> Box:
    left, top, right, bottom = box
    return left / width, top / height, (right - left) / width, (bottom - top) / height
