"""Sentence models: what they give, where they come from, and what is refused."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.encoders import sentences
from app.encoders.batching import Batcher
from app.encoders.sentences import SentenceModel
from app.errors import AnnotatorUnavailable, ModelUnavailable
from app.settings import DEMO_MODEL_DIR, ROOT
from tests.fixtures import model_hub as hubs
from tests.fixtures.model_hub import Hub
from tests.fixtures.process_environment import PROCESS_SECONDS, bare
from tests.fixtures.sentence_models import (
    WIDTH,
    model_files,
    needs_transformers,
    write_sentence_model,
)

REPOSITORY = "someone/sentences"
TEXTS = ["a yellow flower", "A  yellow blossom", "the dog"]


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    made = Batcher(max_items=4)
    yield made
    made.close()


def of_folder(folder: Path, batcher: Batcher) -> SentenceModel:
    return SentenceModel(f"local-dir:{folder}", batcher)


@needs_transformers
@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
def test_a_text_has_the_vector_that_pooling_makes_of_its_outputs(
    pooling: str, tmp_path: Path, batcher: Batcher
) -> None:
    import torch
    import transformers

    folder = write_sentence_model(tmp_path / "model", pooling=pooling)
    found = of_folder(folder, batcher).encode_captions(TEXTS)
    assert found.vectors.shape == (3, WIDTH)
    assert found.vectors.dtype == np.float32
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, vector in zip(TEXTS, found.vectors, strict=True):
        with torch.inference_mode():  # alone, so that nothing is padding
            outputs = model(**tokenizer(" ".join(text.lower().split()), return_tensors="pt"))
        outputs = outputs.last_hidden_state[0]
        pooled = outputs[0] if pooling == "cls_token" else outputs.mean(0)
        assert np.allclose(vector, pooled / pooled.norm(), atol=1e-5)
    same, other = found.vectors[0] @ found.vectors[1], found.vectors[0] @ found.vectors[2]
    if pooling == "mean_tokens":
        assert same > 0.999 > other


@needs_transformers
def test_both_ways_to_write_a_model_are_read(tmp_path: Path, batcher: Batcher) -> None:
    """sentence-transformers has written other names since its version 6."""
    folder = write_sentence_model(tmp_path / "model")
    model = of_folder(folder, batcher)
    before = model.encode_captions(TEXTS)
    parts = (("", "base.modules.transformer.Transformer"), ("1_Pooling", "modules.pooling.Pooling"))
    modules = [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in parts]
    (folder / "modules.json").write_text(json.dumps(modules))
    told = {"embedding_dimension": WIDTH, "pooling_mode": "mean", "include_prompt": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))
    after = model.encode_captions(TEXTS)
    assert after.fingerprint != before.fingerprint
    assert np.allclose(after.vectors, before.vectors, atol=1e-6)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({**told, "include_prompt": False}))
    with pytest.raises(ModelUnavailable, match="include_prompt"):
        model.load()


@needs_transformers
def test_texts_are_cut_and_prompts_stand_before_them(tmp_path: Path, batcher: Batcher) -> None:
    folder = write_sentence_model(tmp_path / "model")
    model = of_folder(folder, batcher)
    plain = model.encode_captions(["a dog", "dog " * 31 + "red", "dog " * 32 + "red" * 5_000])
    assert not np.allclose(plain.vectors[1], plain.vectors[2])  # the 33rd token is not read
    assert np.allclose(model.encode_queries(["dog " * 32]).vectors[0], plain.vectors[2], atol=1e-5)
    prompts = {"prompts": {"query": "the red ", "passage": "blue: "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    asked = model.encode_queries(["dog"])
    assert asked.fingerprint != plain.fingerprint  # it was loaded anew
    (folder / "config_sentence_transformers.json").unlink()
    before = model.encode_captions(["the red dog", "blue: a dog"])
    assert before.fingerprint == plain.fingerprint
    assert np.allclose(asked.vectors[0], before.vectors[0], atol=1e-5)


@needs_transformers
def test_a_fingerprint_is_of_the_contents(tmp_path: Path, batcher: Batcher) -> None:
    folder = write_sentence_model(tmp_path / "model")
    model = of_folder(folder, batcher)
    first = model.fingerprint()
    assert first == model.load().fingerprint
    assert first == of_folder(write_sentence_model(tmp_path / "same"), batcher).fingerprint()
    (folder / "README.md").write_text("For people.")
    assert model.fingerprint() == first
    write_sentence_model(folder, seed=1)
    assert model.fingerprint() == model.load().fingerprint != first
    (folder / "model.safetensors").unlink()
    assert model.fingerprint() is None


@needs_transformers
def test_it_leaves_the_memory_once_idle(
    tmp_path: Path, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = of_folder(write_sentence_model(tmp_path / "model"), batcher)
    before = model.encode_queries(TEXTS).vectors
    model.close_if_idle()
    assert model.is_loaded
    monkeypatch.setattr(sentences, "IDLE_SECONDS", 0.0)
    model.close_if_idle()
    assert not model.is_loaded
    assert np.array_equal(model.encode_queries(TEXTS).vectors, before)


@needs_transformers
@pytest.mark.parametrize(
    ("file", "told", "words"),
    [
        ("modules.json", None, r"has no modules\.json"),
        ("modules.json", "{", "cannot be read"),
        ("modules.json", {"a": 1}, "not as sentence-transformers writes it"),
        ("modules.json", [1], "names no parts"),
        ("modules.json", [{"type": "a.Dense", "path": ""}], "names Dense"),
        ("model.safetensors", None, r"has no model\.safetensors or pytorch_model\.bin"),
        ("model.safetensors", "x", "cannot be loaded"),
        ("tokenizer.json", None, r"has no tokenizer\.json"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ("1_Pooling/config.json", {}, "no way of pooling"),
    ],
)
def test_what_is_no_model_is_refused(
    file: str, told: object, words: str, tmp_path: Path, batcher: Batcher
) -> None:
    folder = write_sentence_model(tmp_path / "model")
    (folder / file).unlink()
    if told is not None:
        (folder / file).write_text(told if isinstance(told, str) else json.dumps(told))
    model = of_folder(folder, batcher)
    with pytest.raises(ModelUnavailable, match=words) as refused:
        model.load()
    assert "IMAGE_SEARCH_SENTENCE_MODELS" in str(refused.value)
    assert "IMAGE_SEARCH_CLIP" not in str(refused.value)


@needs_transformers
def test_weights_that_are_missing_are_never_random(tmp_path: Path, batcher: Batcher) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_sentence_model(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnavailable, match="do not fit"):
        of_folder(folder, batcher).load()


@needs_transformers
def test_modules_that_lead_out_of_the_folder_are_refused(tmp_path: Path, batcher: Batcher) -> None:
    folder = write_sentence_model(tmp_path / "model")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../1_Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelUnavailable, match="leads out of its own folder"):
        of_folder(folder, batcher).load()


@needs_transformers
def test_a_model_that_brings_a_program_is_refused(tmp_path: Path, batcher: Batcher) -> None:
    folder = write_sentence_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = dict.fromkeys(("AutoConfig", "AutoModel"), "program.Model")
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "theirs"}))
    (folder / "program.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(ModelUnavailable):
        of_folder(folder, batcher).load()


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "find_spec", lambda _name: None)
    with pytest.raises(AnnotatorUnavailable, match=r"picture-search\[multilingual\]"):
        of_folder(tmp_path, batcher).load()


@needs_transformers
def test_models_that_the_settings_name_are_pulled(tmp_path: Path) -> None:
    repository = "someone/clip"
    clip = hubs.of_folder(repository, DEMO_MODEL_DIR).files
    files = model_files(write_sentence_model(tmp_path / "model"))
    settings = {"CLIP_MODEL": f"hf-hub:{repository}", "SENTENCE_MODELS": f"hf-hub:{REPOSITORY}"}
    with hubs.serve(Hub(repository, clip, {REPOSITORY: files})) as hub:
        pulled = run("-m scripts.pull_model", hub, tmp_path / "cache", **settings)
        assert pulled.stdout.count("Ready to load") == 2, pulled.stderr
        hub.requests.clear()
        found = run(f'-c "{CODE}"', hub, tmp_path / "cache")
        assert not [asked for asked in hub.requests if "/resolve/" in asked]
    assert found.stdout.splitlines()[1].startswith("True ")


CODE = """
from app.encoders.batching import Batcher
from app.encoders.sentences import SentenceModel
model = SentenceModel('hf-hub:someone/sentences', Batcher(4))
print(model.fingerprint())
found = model.encode_queries(['the dog'])
print(found.fingerprint == model.fingerprint(), found.vectors[0].tolist())
"""


def run(code: str, hub: Hub, cache: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, whose hub and cache are these."""
    environment = bare(HF_ENDPOINT=hub.url, HF_HOME=str(cache), HOME=str(cache), **more)
    return subprocess.run(
        [sys.executable, *shlex.split(code)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip


@needs_transformers
def test_a_model_of_the_hub_is_fetched_once(tmp_path: Path, batcher: Batcher) -> None:
    folder = write_sentence_model(tmp_path / "model")
    with hubs.serve(Hub(REPOSITORY, model_files(folder))) as hub:
        first = run(f'-c "{CODE}"', hub, tmp_path / "cache")
        assert first.returncode == 0, first.stderr
        assert any("1_Pooling/config.json" in asked for asked in hub.requests)
        hub.requests.clear()
        second = run(f'-c "{CODE}"', hub, tmp_path / "cache")
        assert not [asked for asked in hub.requests if "/resolve/" in asked]
        hub.fault = 503
        failed = run(f'-c "{CODE}"', hub, tmp_path / "empty")
    before, *told = first.stdout.splitlines()
    assert before == "None"  # asking for it downloads nothing
    ours = of_folder(folder, batcher)
    assert second.stdout.splitlines()[0] == ours.fingerprint()
    assert second.stdout.splitlines()[1:] == told
    vector = json.loads(told[0].removeprefix("True "))
    assert np.allclose(vector, ours.encode_queries(["the dog"]).vectors[0], atol=1e-6)
    assert failed.returncode == 1
    assert "The sentence model hf-hub:someone/sentences: " in failed.stderr
