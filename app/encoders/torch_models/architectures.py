"""What open_clip's lists say about an architecture and its pretrained tags."""

import logging
from typing import Any

import open_clip
from open_clip.pretrained import get_pretrained_cfg

from app.errors import ModelUnknown

log = logging.getLogger(__name__)

PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode")


def preprocess_of_tag(model: str, tag: str) -> dict[str, Any]:
    """The preprocessing that goes with a tag's weights, as a dict of PREPROCESS_KEYS."""
    found = get_pretrained_cfg(model, tag)
    return {key: found[key] for key in PREPROCESS_KEYS if key in found}


def preprocess_of_tags(model: str) -> dict[str, Any]:
    """Those of PREPROCESS_KEYS on which all tags of an architecture agree; empty without tags."""
    tags = open_clip.list_pretrained_tags_by_model(model)
    first, *others = [preprocess_of_tag(model, tag) for tag in tags] or [{}]
    return {
        key: value
        for key, value in first.items()
        if all(other.get(key) == value for other in others)
    }


def check_activation(model: str, tag: str) -> None:
    """Refuse QuickGELU weights for a GELU architecture, or the reverse: vectors would be wrong.

    Nothing else would report the mismatch. Raises ModelUnknown naming the architecture that
    fits. If none does, the list of tags is at fault (`roberta-ViT-B-32`), and the only existing
    architecture is used, as in open_clip.
    """
    trained = bool(get_pretrained_cfg(model, tag).get("quick_gelu", False))
    if trained == _has_quick_gelu(model):
        return
    other = f"{model}-quickgelu" if trained else model.removesuffix("-quickgelu")
    if get_pretrained_cfg(other, tag) and _has_quick_gelu(other) == trained:
        raise ModelUnknown(
            f"The weights {tag} were trained with{'' if trained else 'out'} QuickGELU, which the "
            f"model {model} does not match. Name the model {other}."
        )
    log.warning(
        "open_clip lists %s / %s with%s QuickGELU, but has no such architecture; using %s as it is",
        *(model, tag, "" if trained else "out", model),
    )


def _has_quick_gelu(model: str) -> bool:
    return bool((open_clip.get_model_config(model) or {}).get("quick_gelu", False))
