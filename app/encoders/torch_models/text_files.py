"""Finds what texts of `transformers` need besides weights: a configuration and a tokenizer.

open_clip asks the hub for both whenever a model is loaded. Here they are fetched with the weights
and read from this disk from then on, so that a start needs no network.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.command_names import typed
from app.encoders.torch_models.hub_files import hub_file, optional_hub_file
from app.errors import ModelUnavailable

if TYPE_CHECKING:
    from open_clip.tokenizer import HFTokenizer

TRANSFORMERS_CONFIG = "config.json"
VOCABULARIES = (
    "tokenizer.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "vocab.txt",
)
"""Where a tokenizer's vocabulary may be; the first that a repository has is enough."""
COMPANIONS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    TRANSFORMERS_CONFIG,
)
"""What else a tokenizer is made of, where a repository has it."""


@dataclass(frozen=True)
class TextFiles:
    """Folders on this disk; None where the architecture needs none or open_clip finds it itself."""

    config: Path | None = None
    tokenizer: Path | None = None

    def model_options(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Further options for open_clip.create_model; `config` is the architecture's."""
        if self.config is None:
            return {}
        text = {**config["text_cfg"], "hf_model_name": str(self.config)}
        return {"text_cfg": {**text, "hf_model_pretrained": False}}

    def load_tokenizer(self, config: Mapping[str, Any]) -> "HFTokenizer | None":
        """The tokenizer as open_clip.get_tokenizer makes it, but of the folder's files."""
        if self.tokenizer is None:
            return None
        from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer  # takes seconds

        text = config["text_cfg"]
        return HFTokenizer(
            str(self.tokenizer),
            context_length=text.get("context_length", DEFAULT_CONTEXT_LENGTH),
            tokenizer_mode=text.get("tokenizer_mode"),
            **deepcopy(text.get("tokenizer_kwargs", {})),
        )


def find_text_files(config: Mapping[str, Any], *, has_own_tokenizer: bool = False) -> TextFiles:
    """The files of an architecture, downloaded if needed; its configuration is open_clip's.

    `has_own_tokenizer`: open_clip takes the files beside the weights. Raises ModelUnavailable.
    """
    text = config.get("text_cfg") or {}
    model, tokenizer = text.get("hf_model_name"), text.get("hf_tokenizer_name")
    folder = None
    if model and not Path(model).is_dir():
        folder = Path(hub_file(model, (TRANSFORMERS_CONFIG,))).parent
    if not tokenizer or has_own_tokenizer or Path(tokenizer).is_dir():
        return TextFiles(folder)
    vocabulary = Path(hub_file(tokenizer, VOCABULARIES))
    others = [optional_hub_file(tokenizer, name) for name in COMPANIONS]
    if any(one is not None and Path(one).parent != vocabulary.parent for one in others):
        raise ModelUnavailable(
            f"The cache holds files of {tokenizer}'s tokenizer of different revisions: delete its "
            f"folder there, and run `{typed('pull-model')}` to fetch them again."
        )
    return TextFiles(folder, vocabulary.parent)
