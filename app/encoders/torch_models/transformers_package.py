"""Whether a model needs the package transformers, which is not installed by default."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from app.errors import ModelUnknown

TRANSFORMERS_KEYS = ("hf_model_name", "hf_tokenizer_name")  # in text_cfg
INSTALL_TRANSFORMERS = '`.venv/bin/uv pip install "transformers>=5,<6" sentencepiece protobuf`'


def check_transformers(model: str, config: Mapping[str, Any]) -> None:
    """Raise ModelUnknown with the install command if `transformers` is needed but missing.

    `config` is open_clip's configuration of the architecture. For built-in SigLIP architectures,
    only the name shows which tokenizer is used.
    """
    text = config.get("text_cfg") or {}
    built_in = ":" not in model and "siglip" in model.lower()
    if not (built_in or any(text.get(key) for key in TRANSFORMERS_KEYS)):
        return
    if find_spec("transformers") is None:
        raise ModelUnknown(
            f"The model {model} reads texts with the package transformers, which is "
            f"not installed: {INSTALL_TRANSFORMERS}"
        )
