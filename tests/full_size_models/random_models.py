"""Models of open_clip's at full size with random weights, as repositories of a hub.

To be imported once HF_ENDPOINT is set: open_clip and transformers ask that hub.
"""

import json
from collections.abc import Callable
from typing import Any

import open_clip
import torch
from open_clip.pretrained import get_pretrained_cfg
from safetensors.torch import save

from app.encoders.torch_models.hub_files import WEIGHT_FILES

Repositories = dict[str, dict[str, bytes]]
"""The files of each repository, by name."""
Weights = dict[str, torch.Tensor]

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # the first tokens of XLM-R's and NLLB's tokenizers
GEMMA_SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>")  # and of SigLIP 2's
SYMBOLS = 400  # of a tokenizer that is made here


def text_repositories(model: str, texts: list[str]) -> Repositories:
    """What transformers asks for: the text tower's configuration, and a tokenizer of `texts`."""
    text = open_clip.get_model_config(model)["text_cfg"]
    found: Repositories = {}
    if name := text.get("hf_tokenizer_name"):
        found[name] = _tokenizer(name, texts)
    if name := text.get("hf_model_name"):
        found[name]["config.json"] = _text_config(name)
    return found


def weights_repository(
    model: str, tag: str, change: Callable[[Weights], None] | None = None
) -> Repositories:
    """The repository that open_clip names for a tag, with random weights, `change`d in place."""
    torch.manual_seed(0)
    made = open_clip.create_model(model, load_weights=False, pretrained_text=False)
    weights = {key: tensor.contiguous() for key, tensor in made.state_dict().items()}
    if change is not None:
        change(weights)
    repository, _, file = get_pretrained_cfg(model, tag)["hf_hub"].rpartition("/")
    return {repository: {file or WEIGHT_FILES[0]: save(weights)}}


def _text_config(name: str) -> bytes:
    """XLM-R base, or the distilled NLLB of 600 million parameters."""
    from transformers import M2M100Config, XLMRobertaConfig

    config: Any = XLMRobertaConfig(
        vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
    )
    if "nllb" in name:
        config = M2M100Config(
            vocab_size=256_206, encoder_layers=12, decoder_layers=12, scale_embedding=True
        )
    return str(config.to_json_string(use_diff=False)).encode()


def _tokenizer(name: str, texts: list[str]) -> dict[str, bytes]:
    """A small tokenizer of the class, special tokens and template of the real one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    gemma, nllb = "SigLIP2" in name, "nllb" in name
    special = GEMMA_SPECIAL if gemma else SPECIAL
    options = {"special_tokens": list(special), "show_progress": False}
    if gemma or nllb:
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        trainer = trainers.BpeTrainer(vocab_size=SYMBOLS, **options)
    else:
        made = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=SYMBOLS // 2, unk_token="<unk>", **options)
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(texts * 20, trainer)
    template, end = ("$A <eos>", "<eos>") if gemma else ("<s> $A </s>", "</s>")
    tokens = [(one, made.token_to_id(one)) for one in ("<s>", end) if one in special]
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=tokens)
    kind = "GemmaTokenizer" if gemma else "NllbTokenizer" if nllb else "XLMRobertaTokenizer"
    names = {"tokenizer_class": kind, "pad_token": "<pad>", "unk_token": "<unk>", "eos_token": end}
    return {
        "tokenizer.json": made.to_str().encode(),
        "tokenizer_config.json": json.dumps({**names, "padding_side": "right"}).encode(),
    }
