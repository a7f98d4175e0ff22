"""Loads a sentence model by the package transformers, and embeds texts with it.

What sentence-transformers does for models of a Transformer, a Pooling and perhaps a Normalize: the
mean of the last layer's outputs, or the first one, of unit length.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from app.encoders.file_identity import Files
from app.encoders.resident_model import normalised
from app.encoders.torch_models.sentence_files import (
    SentenceFiles,
    find_sentence_files,
    read_json,
)
from app.encoders.torch_models.ways_out import of_sentences
from app.errors import ModelUnavailable
from app.vectors import Vectors

MAX_TOKENS = 256  # of a text: captions are single sentences, queries at most 1,000 characters
MAX_DIMENSIONS = 4_096  # of its vectors
QUERY_PROMPTS = ("query",)  # names of prompts, as sentence-transformers' `encode_query` looks
CAPTION_PROMPTS = ("document", "passage", "corpus")  # and `encode_document`
PROBE = "a green tree " * 2 * MAX_TOKENS  # longer than any text that is embedded

Pooling = Literal["mean", "cls"]
POOLINGS: Mapping[str, Pooling] = {
    "mean": "mean",
    "cls": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean",  # the same direction
    "pooling_mode_cls_token": "cls",
}
"""How outputs become one vector, as configurations of a Pooling name it, new and old."""


@dataclass(frozen=True, eq=False)
class SentenceEncoder:
    """Embeds texts on the CPU. `state` and `fingerprint` are of the files it was loaded from.

    `most_tokens` of a text are read. Any thread may call.
    """

    state: Files
    fingerprint: str
    tokenizer: Any
    model: Any
    pooling: Pooling
    most_tokens: int
    lower: bool
    prompts: Mapping[str, str]

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of unit length, float32 (len(texts), dimensions), of texts to search for."""
        return self._encode(texts, self._prompt(QUERY_PROMPTS))

    def encode_captions(self, texts: Sequence[str]) -> Vectors:
        """The same of texts to be found."""
        return self._encode(texts, self._prompt(CAPTION_PROMPTS))

    def _prompt(self, names: Sequence[str]) -> str:
        return next((self.prompts[name] for name in names if name in self.prompts), "")

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        given = [prompt + normalised(text) for text in texts]
        tokens = self.tokenizer(
            [text.lower() for text in given] if self.lower else given,
            padding=True,
            truncation=True,
            max_length=self.most_tokens,
            return_tensors="pt",
        )
        with torch.inference_mode():
            outputs = self.model(**tokens).last_hidden_state
            if self.pooling == "cls":
                pooled = outputs[:, 0]
            else:
                weights = tokens["attention_mask"].unsqueeze(-1).to(outputs.dtype)
                pooled = (outputs * weights).sum(1) / weights.sum(1).clamp(min=1)
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors


def load(name: str) -> SentenceEncoder:
    """Load `hf-hub:org/name` or `local-dir:/path` in fp32; never with random weights.

    Raises ModelUnavailable saying what is wrong.
    """
    with of_sentences(name):
        files = find_sentence_files(name)
        try:
            return _checked(_loaded(files))
        except ModelUnavailable:
            raise
        except Exception as error:  # transformers, tokenizers, torch: each raises its own types
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelUnavailable(f"It cannot be loaded: {reason}") from error


def _loaded(files: SentenceFiles) -> SentenceEncoder:
    from transformers import AutoTokenizer  # takes seconds
    from transformers.utils import logging

    logging.set_verbosity_error()  # what it would warn of is checked here
    logging.disable_progress_bar()
    state, fingerprint = files.state(), files.fingerprint()
    tokenizer = AutoTokenizer.from_pretrained(
        files.folder, local_files_only=True, trust_remote_code=False
    )
    model = _model(files)
    lengths = {} if files.lengths is None else read_json(files.lengths, dict)
    limits = [
        MAX_TOKENS,
        lengths.get("max_seq_length"),
        tokenizer.model_max_length,
        getattr(model.config, "max_position_embeddings", None),
    ]
    return SentenceEncoder(
        state,
        fingerprint,
        tokenizer,
        model,
        _pooling(files),
        int(min(limit for limit in limits if limit)),
        lengths.get("do_lower_case") is True,
        _prompts(files),
    )


def _model(files: SentenceFiles) -> Any:
    """The Transformer with all of its weights. Raises ModelUnavailable."""
    from transformers import AutoModel

    model, told = AutoModel.from_pretrained(
        files.folder,
        local_files_only=True,
        trust_remote_code=False,
        dtype=torch.float32,
        output_loading_info=True,
    )
    if model.config.is_encoder_decoder:
        raise ModelUnavailable("It has a decoder: only models that encode alone are known here.")
    missing = [one for one in told["missing_keys"] if not one.startswith("pooler.")]  # not used
    if missing or told["mismatched_keys"]:
        wrong = sorted([*missing, *(str(one) for one in told["mismatched_keys"])])
        raise ModelUnavailable(f"Its weights do not fit its config.json: {wrong[0]}.")
    return model.eval().requires_grad_(False)


def _pooling(files: SentenceFiles) -> Pooling:
    """Raises ModelUnavailable."""
    config = read_json(files.pooling, dict)
    named = config.get("pooling_mode")
    modes = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    chosen = [named] if isinstance(named, str) else modes
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise ModelUnavailable(
            f"{files.pooling} names {', '.join(chosen) or 'no way of pooling'}: only the mean and "
            "the first output (cls) are known here."
        )
    if config.get("include_prompt") is False:
        raise ModelUnavailable(f"{files.pooling}: include_prompt false is not known here.")
    return POOLINGS[chosen[0]]


def _prompts(files: SentenceFiles) -> Mapping[str, str]:
    """What stands before texts, by name."""
    config = {} if files.prompts is None else read_json(files.prompts, dict)
    told = config.get("prompts")
    found = told if isinstance(told, dict) else {}
    return {name: text for name, text in found.items() if isinstance(text, str)}


def _checked(encoder: SentenceEncoder) -> SentenceEncoder:
    """Embeds once, also a text that is too long. Raises ModelUnavailable."""
    calls: Sequence[Callable[[Sequence[str]], Vectors]]
    calls = (encoder.encode_queries, encoder.encode_captions)
    for vectors in (encode([PROBE, "a"]) for encode in calls):
        if not np.isfinite(vectors).all():
            raise ModelUnavailable("Its vectors are not finite.")
        if vectors.shape[1] > MAX_DIMENSIONS:
            raise ModelUnavailable(
                f"Its vectors have {vectors.shape[1]} dimensions; {MAX_DIMENSIONS} are allowed."
            )
    return encoder
