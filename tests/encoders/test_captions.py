"""The captioner of open_clip: what it loads and refuses, and what it writes."""

from pathlib import Path
from shutil import copytree

import pytest
from PIL import Image

from app.encoders.captions import CaptionModel
from app.encoders.model_pool import ModelName
from app.encoders.torch_models import captioning
from app.errors import AnnotatorUnavailable, ModelUnavailable
from app.settings import DEMO_CAPTIONER_DIR, DEMO_MODEL_DIR
from tests.conftest import TEST_IMAGES

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"


def named(folder: Path) -> CaptionModel:
    return CaptionModel(ModelName(f"local-dir:{folder}", ""), "cpu")


def pictures() -> list[Image.Image]:
    return [
        Image.open(TEST_IMAGES / name).convert("RGB")
        for name in ("red-rose.jpg", "dog.jpg", "cat.jpg")
    ]


def test_a_picture_is_described_alike_alone_and_among_others() -> None:
    """Captions that end earlier do not change the others of their batch."""
    model = named(DEMO_CAPTIONER_DIR)
    together = model.describe(pictures())
    for one, picture in zip(together, pictures(), strict=True):
        (alone,) = model.describe([picture])
        assert alone.text == one.text
        assert alone.confidence == pytest.approx(one.confidence, abs=1e-4)
        assert one.text.split()[0] in {"a", "an"}
        assert one.confidence is not None
        assert 0 < one.confidence <= 1
    assert len({one.text for one in together}) == 3


def test_it_leaves_the_memory_once_idle_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = named(DEMO_CAPTIONER_DIR)
    before = model.describe(pictures()[:1])
    model.close_if_idle()
    assert model.is_loaded
    monkeypatch.setattr("app.encoders.captions.IDLE_SECONDS", 0.0)
    model.close_if_idle()
    assert not model.is_loaded
    assert model.describe(pictures()[:1]) == before


def test_a_model_without_a_decoder_and_one_without_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="writes no captions"):
        named(DEMO_MODEL_DIR).describe(pictures()[:1])
    (tmp_path / CONFIG).write_bytes((DEMO_CAPTIONER_DIR / CONFIG).read_bytes())
    with pytest.raises(ModelUnavailable, match="holds no weights"):
        named(tmp_path).describe(pictures()[:1])
    with pytest.raises(ModelUnavailable):
        captioning.load("coca_ViT-B-32", "no_such_tag", "cpu")
    with pytest.raises(AnnotatorUnavailable, match="IMAGE_SEARCH_CAPTION_MODEL"):
        named(tmp_path / "away").version()


def test_what_cannot_be_loaded_is_told_of_the_captioners_setting(tmp_path: Path) -> None:
    """It named the settings of the model of the searches, which are right."""
    for model, tag in (
        (f"local-dir:{tmp_path}", ""),
        (f"local-dir:{DEMO_MODEL_DIR}", ""),
        ("coca_ViT-B-32", "no_such_tag"),
        ("coca_ViT-B-33", "no_such_tag"),
    ):
        with pytest.raises(ModelUnavailable) as refused:
            captioning.load(model, tag, "cpu")
        named = f"{model}@{tag}".rstrip("@")
        assert str(refused.value).startswith(f"IMAGE_SEARCH_CAPTION_MODEL={named}: ")
        assert "IMAGE_SEARCH_CAPTION_MODEL=local-dir:/path/to/folder" in str(refused.value)
        assert "IMAGE_SEARCH_CLIP" not in str(refused.value)


def test_a_version_is_of_what_the_model_is(tmp_path: Path) -> None:
    """Wherever its folder is; what is there for people does not count."""
    folder = copytree(DEMO_CAPTIONER_DIR, tmp_path / DEMO_CAPTIONER_DIR.name)
    before = named(DEMO_CAPTIONER_DIR).version()
    assert named(folder).version() == before
    (folder / "README.md").write_text("Another text.")
    assert named(folder).version() == before
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    assert named(folder).version() != before
    tagged = CaptionModel(ModelName("coca_ViT-B-32", "mscoco"), "cpu")
    assert tagged.version() == "coca_ViT-B-32 mscoco, recipe 1"
