"""Text towers of `transformers`, with random weights: cut where padding is masked (issue 21, 14).

The package is no dependency: without it these tests are skipped.
"""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.hf_model import HFTextEncoder
from safetensors.torch import save_file

from app.encoders.fidelity import lowest_cosine
from app.encoders.model_request import RuntimeOptions
from app.encoders.torch_models import openclip
from app.encoders.torch_models.hub_files import WEIGHT_FILES
from app.encoders.torch_models.runtime_choice import choose_runtime
from app.encoders.torch_models.towers import TextTower
from app.settings import ROOT
from tests.fixtures import model_hub as hubs
from tests.fixtures.model_hub import Hub
from tests.fixtures.process_environment import bare

transformers = pytest.importorskip("transformers")

VISION = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16}
TEXT = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
CONTEXT = 77
PADDING = 1
SMALL = {"vocab_size": 100, "pad_token_id": PADDING}
BERT = {
    **SMALL,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": CONTEXT + 2,
}
M2M = {
    **SMALL,
    "d_model": 32,
    **dict.fromkeys(("encoder_layers", "decoder_layers", "encoder_attention_heads"), 2),
    "encoder_ffn_dim": 64,
}
T5 = {**SMALL, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}


def text_encoder(kind: str, pooler: str) -> HFTextEncoder:
    """A small text tower of the kind that open_clip's multilingual models have."""
    torch.manual_seed(0)
    if kind == "xlm-roberta":
        config = transformers.XLMRobertaConfig(**BERT)
        return HFTextEncoder("", 32, config, pooler, "linear")
    # Of an encoder and a decoder open_clip keeps the encoder, but only of a model that it loads.
    if kind == "nllb":
        config, model = transformers.M2M100Config(**M2M), transformers.M2M100Model
    else:
        config, model = transformers.MT5Config(**T5), transformers.MT5Model
    encoder = HFTextEncoder("", 32, config, pooler, "linear")
    encoder.transformer = model(config).encoder
    return encoder


@pytest.mark.parametrize("kind", ["xlm-roberta", "nllb", "mt5"])
@pytest.mark.parametrize("pooler", ["mean_pooler", "cls_pooler"])
def test_texts_are_cut_where_padding_is_masked(kind: str, pooler: str) -> None:
    """77 positions were computed though 8 give equal vectors."""
    model = open_clip.CustomTextCLIP(embed_dim=32, vision_cfg=VISION, text_cfg=TEXT)
    model.text = text_encoder(kind, pooler)
    tower = TextTower(model.eval())
    tokens = torch.full((3, CONTEXT), PADDING)
    for row, length in enumerate((5, 8, 2)):
        tokens[row, :length] = torch.arange(10, 10 + length)
    assert tower.check(tokens[:1]) == 32
    cut = tower.cut(tokens.numpy())
    assert cut.shape == (3, 8)
    with torch.inference_mode():
        whole, ours = model.encode_text(tokens), tower(torch.from_numpy(cut))
    assert torch.allclose(whole, ours, atol=1e-5)


def test_a_pooler_that_reads_padding_keeps_all_of_it() -> None:
    model = open_clip.CustomTextCLIP(embed_dim=32, vision_cfg=VISION, text_cfg=TEXT)
    model.text = text_encoder("xlm-roberta", "max_pooler")
    assert not TextTower(model).cuts


def saved_model(folder: Path, text_name: str | None = None) -> str:
    """A CLIP with a small XLM-R and a tokenizer of words in a folder of its own.

    Its configuration names `text_name` as the repository of text, by default the folder.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir()
    transformers.XLMRobertaConfig(**BERT).save_pretrained(folder)
    words = ["<s>", "<pad>", "</s>", "<unk>", "a", "green", "tree", "red", "car", "road", "dogs"]
    tokenizer = Tokenizer(models.WordLevel(dict(zip(words, range(11), strict=True)), "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    text: dict[str, Any] = dict.fromkeys(
        ("hf_model_name", "hf_tokenizer_name"), text_name or str(folder)
    )
    text |= {"hf_pooler_type": "mean_pooler", "hf_proj_type": "linear", "context_length": CONTEXT}
    config: dict[str, Any] = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": text}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    torch.manual_seed(0)
    text |= {"hf_model_pretrained": False, "hf_model_name": str(folder)}
    model = open_clip.CustomTextCLIP(embed_dim=32, vision_cfg=VISION, text_cfg=text)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_model_of_a_folder_is_cut_on_every_runtime(runtime: str, tmp_path: Path) -> None:
    loaded = openclip.load_torch(saved_model(tmp_path / "model"), "", "cpu")
    assert loaded.text.cut(loaded.tokenizer(["a green tree"]).numpy()).shape == (1, 4)
    options = RuntimeOptions(runtime, "fp32", tmp_path / "kept")  # type: ignore[arg-type]
    encoder = choose_runtime(loaded, options).encoder
    assert encoder.runtime == runtime
    assert lowest_cosine(loaded.encoder, encoder) > 0.9999
    for count in (1, 9, 30, 200):
        text = ["a green tree " * count]
        with torch.inference_mode():
            whole = loaded.text.model.encode_text(loaded.tokenizer(text)).numpy()
        ours = encoder.encode_texts(text)
        assert float((whole / np.linalg.norm(whole) * ours).sum()) > 0.9999


def run(code: str, hub: Hub, cache: Path) -> str:
    """What a process of its own prints, whose hub and cache are these."""
    environment = bare(HF_ENDPOINT=hub.url, HF_HOME=str(cache), HOME=str(cache))
    environment["IMAGE_SEARCH_CLIP_MODEL"] = f"hf-hub:{hub.repository}"
    ended = subprocess.run(
        [sys.executable, *shlex.split(code)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_configuration_and_tokenizer_are_pulled_with_the_weights(tmp_path: Path) -> None:
    """Issue 18, line 21: `make pull-model` left both to the first start, and each asked the hub."""
    saved_model(tmp_path / "model", text_name="someone/text")
    files = {one.name: one.read_bytes() for one in (tmp_path / "model").iterdir()}
    clip = {name: files.pop(name) for name in ("open_clip_config.json", WEIGHT_FILES[0])}
    with hubs.serve(Hub("someone/clip", clip, {"someone/text": files})) as hub:
        cache = tmp_path / "cache"
        assert "Ready to load" in run("-m scripts.pull_model", hub, cache)
        assert any("someone/text" in asked for asked in hub.requests)
        hub.requests.clear()
        code = (
            "from app.encoders.torch_models import openclip; "
            f"encoder = openclip.load('hf-hub:{hub.repository}', '', 'cpu'); "
            "print(encoder.encode_texts(['a green tree'])[0].tolist())"
        )
        pulled = json.loads(run(f'-c "{code}"', hub, cache))
    assert [asked for asked in hub.requests if "someone/" in asked] == []
    ours = openclip.load(model_of_files(tmp_path / "model"), "", "cpu")
    assert float(ours.encode_texts(["a green tree"])[0] @ np.array(pulled)) > 0.99999


def model_of_files(folder: Path) -> str:
    """The model of a folder, its configuration naming the folder as the place of its text."""
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text().replace("someone/text", str(folder)))
    return f"local-dir:{folder}"
