"""The real loading path: names, tags, folders, and a hub with all its moods."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import open_clip
import pytest

from app.encoders.torch_models import openclip
from app.encoders.torch_models.architectures import check_activation
from app.encoders.torch_models.checkpoints import find_checkpoint
from app.errors import ModelUnavailable
from app.settings import DEMO_CAPTIONER_DIR, DEMO_MODEL_DIR, ROOT
from tests.fixtures import model_hub as hubs
from tests.fixtures.model_hub import Hub
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

REPOSITORY = "someone/tiny-clip"


Pulled = subprocess.CompletedProcess[str]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hubs.serve(hubs.of_folder(REPOSITORY, DEMO_MODEL_DIR)) as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "huggingface"


def pull(hub: Hub, cache: Path, **more: str) -> Pulled:
    """`make pull-model` in a process of its own: the hub's client reads its settings once."""
    model = {"CLIP_MODEL": f"hf-hub:{REPOSITORY}", **more}
    environment = bare(HF_ENDPOINT=hub.url, HF_HOME=str(cache), HOME=str(cache), **model)
    return subprocess.run(
        [sys.executable, "-m", "scripts.pull_model"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def moods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "Future[Pulled]"]]:
    """Pulls from hubs with faults, all at once: each client tries again for half a minute.

    They begin with the module, and its last test looks at them.
    """
    faulty = {
        "404": Hub(REPOSITORY, {}, fault=404),
        "429": Hub(REPOSITORY, {}, fault=429),
        "truncated": hubs.of_folder(REPOSITORY, DEMO_MODEL_DIR),
    }
    faulty["truncated"].truncated = True
    with ExitStack() as stack, ThreadPoolExecutor(len(faulty) + 1) as pool:
        for hub in faulty.values():
            stack.enter_context(hubs.serve(hub))
        faulty["down"] = Hub(REPOSITORY, {}, url="http://127.0.0.1:1")
        folder = tmp_path_factory.mktemp("caches")
        yield {mood: pool.submit(pull, hub, folder / mood) for mood, hub in faulty.items()}


def test_a_model_is_pulled_once_and_then_needs_no_hub(hub: Hub, cache: Path) -> None:
    """And what was pulled gives the vectors of the original."""
    first = pull(hub, cache)
    assert first.returncode == 0, first.stderr
    assert "Ready to load: local-dir:" in first.stdout
    asked = [request for request in hub.requests if "/resolve/" in request]
    assert asked
    hub.requests.clear()
    second = pull(hub, cache)
    assert second.stdout == first.stdout
    assert not [request for request in hub.requests if "/resolve/" in request]
    ours = openclip.load(f"local-dir:{DEMO_MODEL_DIR}", "", "cpu")
    theirs = openclip.load(first.stdout.strip().removeprefix("Ready to load: "), "", "cpu")
    assert theirs.space.fingerprint == ours.space.fingerprint
    assert (theirs.encode_texts(["a tree"]) == ours.encode_texts(["a tree"])).all()


def test_a_captioner_that_is_named_is_pulled_too(hub: Hub, cache: Path) -> None:
    captioner = "someone/captioner"
    hub.others[captioner] = hubs.of_folder(captioner, DEMO_CAPTIONER_DIR).files
    pulled = pull(hub, cache, CAPTION_MODEL=f"hf-hub:{captioner}")
    assert pulled.stdout.count("Ready to load") == 2, pulled.stderr
    failed = pull(hub, cache, CAPTION_MODEL="hf-hub:someone/else")
    assert failed.returncode == 1
    assert "IMAGE_SEARCH_CAPTION_MODEL=hf-hub:someone/else: someone/else on the hub has no" in (
        failed.stderr
    )
    assert "IMAGE_SEARCH_CLIP" not in failed.stderr


def test_offline_asks_nobody(hub: Hub, cache: Path) -> None:
    failed = pull(hub, cache, HF_HUB_OFFLINE="1")
    assert failed.returncode == 1
    assert "the hub cannot be reached" in failed.stderr
    assert hub.requests == []


def test_the_default_model_is_asked_for_in_its_repository(hub: Hub, cache: Path) -> None:
    failed = pull(hub, cache, CLIP_MODEL="ViT-B-32")
    assert failed.returncode == 1
    assert any("DataComp.XL-s13B-b90K" in asked for asked in hub.requests)


@pytest.mark.parametrize(
    ("model", "pretrained", "words"),
    [
        ("ViT-B-33", "openai", "open_clip knows no model ViT-B-33"),
        ("ViT-B-32", "nonsense", "neither a file nor a tag of ViT-B-32"),
        ("ViT-B-32", "", "neither a file nor a tag of ViT-B-32"),
        ("ViT-B/32", "x" * 5000, "neither a file nor a tag of ViT-B-32"),
        ("hf-hub:a/b/c", "", "hf-hub:a/b/c: Repo id must"),
        ("hf-hub:foo bar", "", "hf-hub:foo bar: Repo id must"),
        ("ViT-B-32", "openai", r"Name the model ViT-B-32-quickgelu\."),
        ("local-dir:/nowhere", "", "open_clip_config.json is missing"),
    ],
)
def test_what_cannot_be_found_is_named(model: str, pretrained: str, words: str) -> None:
    with pytest.raises(ModelUnavailable, match=words):
        find_checkpoint(model, pretrained)


def test_an_architecture_that_is_advised_takes_the_weights(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Issue 21, line 13: `roberta-ViT-B-32` was refused with the advice to set itself."""
    advised = 0
    for model, tag in open_clip.list_pretrained():
        try:
            check_activation(model, tag)
        except ModelUnavailable as error:
            (other,) = re.findall(r"Name the model (\S+)\.$", str(error))
            check_activation(other, tag)
            advised += 1
    assert advised > 20
    assert caplog.text.count("has no such architecture") == 1
    assert "roberta-ViT-B-32 / laion2b_s12b_b32k without QuickGELU" in caplog.text


@pytest.mark.parametrize(
    "model",
    ["ViT-B-16-SigLIP", "ViT-SO400M-14-SigLIP2", "xlm-roberta-base-ViT-B-32", "nllb-clip-base"],
)
@pytest.mark.parametrize("place", ["tag", "file", "folder"])
def test_without_transformers_the_install_line_is_said(
    model: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 21, line 14: three ways out were named, of which none helps."""
    monkeypatch.setattr(
        "app.encoders.torch_models.transformers_package.find_spec", lambda _name: None
    )
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"")
    pretrained = str(weights)
    if place == "tag":
        pretrained = open_clip.list_pretrained_tags_by_model(model)[0]
    elif place == "folder":
        text = {"hf_tokenizer_name": "someone/tokenizer"}
        config = {"model_cfg": {"embed_dim": 32, "vision_cfg": {}, "text_cfg": text}}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        model = f"local-dir:{tmp_path}"
    with pytest.raises(ModelUnavailable, match="transformers") as refused:
        find_checkpoint(model, pretrained)
    assert "uv pip install" in str(refused.value)
    assert "ways out" not in str(refused.value)


def test_a_hub_model_that_needs_transformers_is_not_downloaded_for_nothing(
    hub: Hub, cache: Path
) -> None:
    config = {"model_cfg": {"text_cfg": {"hf_model_name": "someone/text"}}}
    hub.files["open_clip_config.json"] = json.dumps(config).encode()
    if find_spec("transformers"):
        pytest.skip("transformers is installed here")
    failed = pull(hub, cache)
    assert failed.returncode == 1
    assert "uv pip install" in failed.stderr
    assert not [request for request in hub.requests if "safetensors" in request]


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    with pytest.raises(ModelUnavailable, match="holds no weights"):
        find_checkpoint(f"local-dir:{tmp_path}", "")


@pytest.mark.parametrize(
    ("mood", "words"),
    [
        ("404", "has no open_clip_config.json"),
        ("429", "the hub answers 429"),
        ("down", "the hub cannot be reached"),
        ("truncated", "cannot be downloaded"),
    ],
)
def test_a_hub_with_a_fault_stops_with_the_ways_out(
    moods: dict[str, "Future[Pulled]"], mood: str, words: str
) -> None:
    failed = moods[mood].result()
    assert failed.returncode == 1
    assert words in failed.stderr
    for way in ("CLIP_PRETRAINED=/path/to/checkpoint", "CLIP_MODEL=local-dir:/path", "TESTING=1"):
        assert way in failed.stderr
    if mood != "404":
        for way in (
            "a machine that reaches the hub, run `make pull-model`",
            "HF_ENDPOINT to a mirr",
        ):
            assert way in failed.stderr
        copied = f"folder hub/models--{REPOSITORY.replace('/', '--')} from its HF_HOME"
        assert re.search(rf"{copied} .* into \S+/{mood}/hub here", failed.stderr)
        assert f"/{REPOSITORY} here yourself" in failed.stderr
    assert "Traceback" not in failed.stderr
