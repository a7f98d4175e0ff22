"""Models that are a good choice, by what they are good for; docs/models.md has their figures.

Each may be used for any purpose: models for research only are no presets.
"""

import re
from dataclasses import dataclass

from app.encoders.model_pool import ModelName

DEFAULT_PRESET = "retrieval"  # of new databases
MULTILINGUAL_PRESET = "multilingual"
MULTILINGUAL_NAMES = ("xlm-roberta", "nllb", "mt5", "siglip2", "i18n", "worldwide")
"""Parts of the names of open_clip's architectures that were trained on texts in many languages."""
ARCHITECTURE = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Preset:
    """A model under a name that says what it is good for; `licence` is that of its weights."""

    model: ModelName
    licence: str
    needs_transformers: bool = False


PRESETS = {
    "retrieval": Preset(ModelName("ViT-B-32", "laion2b_s34b_b79k"), "MIT"),
    "labels": Preset(ModelName("ViT-B-32", "datacomp_xl_s13b_b90k"), "MIT"),
    "multilingual": Preset(
        ModelName("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k"), "MIT", needs_transformers=True
    ),
    "best": Preset(
        ModelName("ViT-B-32-SigLIP2-256", "webli"), "Apache-2.0", needs_transformers=True
    ),
}


def resolve(model: str, pretrained: str = "") -> ModelName:
    """The model that a preset names; any other name, with its tag, stands for itself."""
    if model in PRESETS and not pretrained:
        return PRESETS[model].model
    return ModelName(model, pretrained)


def understands_english_alone(model: str) -> bool:
    """Whether a model of open_clip's, by its architecture's name, was trained on English texts.

    False where the name does not tell: that of a folder, of a repository, or the demo model's.
    """
    is_architecture = ARCHITECTURE.fullmatch(model) is not None
    return is_architecture and not any(part in model.lower() for part in MULTILINGUAL_NAMES)
