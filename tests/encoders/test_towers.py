"""The towers' own share: pixels as open_clip prepares them, texts without what nobody reads."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from app.encoders.interfaces import TokenCut
from app.encoders.torch_models import openclip
from app.encoders.torch_models.loaded_model import LoadedModel, split
from app.encoders.torch_models.towers import ImageTower, Normalisation, TextTower
from app.errors import ModelUnavailable
from app.pictures.decoding import decode
from app.settings import DEMO_MODEL_DIR
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import encoded, noise

TEXTS = ["a tree", "", "自行车 and a car", "two dogs on a beach " * 30, "a", "x" * 500]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return openclip.load_torch(f"local-dir:{DEMO_MODEL_DIR}", "", "cpu")


class Seen(torch.nn.Module):
    """An image tower's model that gives back what it is given."""

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(500, 375), (80, 120), (224, 224), (1999, 700)])
def test_pixels_are_open_clips_to_the_last_bit(size: tuple[int, int], mode: str) -> None:
    config = PreprocessCfg(size=224, resize_mode=mode)
    transform = image_transform_v2(config, is_train=False)
    shape, normalisation = split(transform)
    image = noise(7, size)
    theirs = transform(image)
    tower = ImageTower(Seen(), normalisation, torch.float32)
    pixels = np.asarray(shape(image))
    ours = tower(torch.from_numpy(pixels[np.newaxis].copy()))[0]
    assert pixels.dtype == np.uint8
    assert pixels.shape == (224, 224, 3)
    assert float((ours - theirs).abs().max()) == 0.0


def test_a_transform_of_another_kind_is_refused() -> None:
    transform = image_transform_v2(PreprocessCfg(size=32), is_train=True)
    transform.transforms.append(torch.nn.Identity())
    with pytest.raises(ModelUnavailable, match="does not know the way"):
        split(transform)


def test_a_jpeg_decoded_at_half_size_moves_the_vector_little(loaded: LoadedModel) -> None:
    """A draft is for large photographs alone; smaller ones are decoded as they are."""
    encoder = loaded.encoder
    with Image.open(TEST_IMAGES / "cat.jpg") as found:
        large = found.convert("RGB").resize((2600, 2200), Image.Resampling.BICUBIC)
    drafted, whole = decode(encoded(large, "JPEG", quality=90), 50), large
    small = encoded(large.resize((900, 800)), "JPEG", quality=90)
    assert drafted.image.size == (1300, 1100)
    assert decode(small, 50).image.size == (900, 800)
    a, b = encoder.prepare(drafted.image).astype(int), encoder.prepare(whole).astype(int)
    vectors = encoder.encode_pixels([encoder.prepare(drafted.image), encoder.prepare(whole)])
    assert np.abs(a - b).max() <= 8  # of 255; 4 when this was written
    assert float(vectors[0] @ vectors[1]) > 0.999


def test_cut_texts_have_the_vectors_of_whole_ones(loaded: LoadedModel) -> None:
    tokens = loaded.tokenizer(TEXTS)
    for rows in (tokens, tokens[:3], tokens[:1]):
        cut = loaded.text.cut(rows.numpy())
        with torch.inference_mode():
            whole = loaded.text.model.encode_text(rows)
            ours = loaded.text(torch.from_numpy(cut))
        assert float(torch.cosine_similarity(whole, ours).min()) > 0.99999
    assert loaded.text.cut(tokens[:1].numpy()).shape == (1, 4)
    assert loaded.text.cut(tokens.numpy()).shape == tokens.shape  # the longest fills it


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-16-SigLIP"])
def test_texts_are_cut_only_where_the_tower_looks_back_alone(name: str) -> None:
    """Both text towers as large as they are, weights at random; the image towers are small."""
    config = open_clip.get_model_config(name)
    text = {key: value for key, value in config["text_cfg"].items() if not key.startswith("hf_")}
    vision = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16}
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    torch.manual_seed(0)
    model = kind(embed_dim=64, vision_cfg=vision, text_cfg=text).eval()
    tower = TextTower(model)
    tokens = open_clip.get_tokenizer("ViT-B-32", context_length=model.context_length)(TEXTS[:3])
    tokens = tokens.clamp(max=text.get("vocab_size", 49408) - 1)
    assert tower.check(tokens) == 64
    assert tower.cuts == (name == "ViT-B-32")
    with torch.inference_mode():
        whole, ours = model.encode_text(tokens), tower(torch.from_numpy(tower.cut(tokens.numpy())))
    assert tower.cut(tokens.numpy()).shape[1] == (16 if tower.cuts else tokens.shape[1])
    assert float(torch.cosine_similarity(whole, ours).min()) > 0.99999


def test_custom_text_towers_are_cut_and_coca_is_not() -> None:
    text = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "layers": 1, "width": 32, "head_width": 16}
    custom = open_clip.CustomTextCLIP(embed_dim=32, vision_cfg=vision, text_cfg=text).eval()
    tower = TextTower(custom)
    tokens = torch.tensor([[98, 5, 99, *[0] * 13]])
    assert tower.check(tokens) == 32
    assert tower.cut(tokens.numpy()).shape == (1, 4)
    multimodal = {"width": 32, "heads": 2, "layers": 1, "context_length": 16, "vocab_size": 100}
    coca = open_clip.CoCa(
        embed_dim=32,
        multimodal_cfg=multimodal,
        text_cfg={**text, "embed_cls": True, "output_tokens": True},
        vision_cfg={**vision, "output_tokens": True},
    )
    assert not TextTower(coca.eval()).cuts


def test_cutting_is_given_up_where_it_changes_vectors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.encoders.torch_models.towers.CUT_COSINE", 1.1)
    loaded = openclip.load_torch(f"local-dir:{DEMO_MODEL_DIR}", "", "cpu")
    assert not loaded.text.cuts
    assert "cannot be cut" in caplog.text
    assert loaded.encoder.encode_texts(["a tree"]).shape == (1, 128)


def test_an_end_of_text_may_be_any_token() -> None:
    tokens = np.array([[1, 7, 9, 3, 0, 0, 0, 0], [1, 3, 0, 0, 0, 0, 0, 0]], np.int64)
    assert TokenCut("eos", 3)(tokens).tolist() == [[1, 7, 9, 3], [1, 3, 0, 0]]
    assert TokenCut("argmax")(tokens).shape == (2, 4)
    assert TokenCut(None)(tokens) is tokens
    padded = np.array([[7, 1, 9, 3, 5, 1, 1, 1, 1, 1], [7, 3, *[1] * 8]], np.int64)
    assert TokenCut("padding", 1)(padded).tolist() == padded[:, :8].tolist()
    assert TokenCut("padding", 1)(padded[1:]).shape == (1, 4)
    assert TokenCut("padding", 1)(np.ones((1, 10), np.int64)).shape == (1, 10)


def test_normalisation_of_the_demo_model_is_its_configurations(loaded: LoadedModel) -> None:
    config = json.loads((Path(DEMO_MODEL_DIR) / "open_clip_config.json").read_text())
    wanted = config["preprocess_cfg"]
    transform = image_transform_v2(
        PreprocessCfg(**loaded.text.model.visual.preprocess_cfg), is_train=False
    )
    _, found = split(transform)
    assert found == Normalisation(tuple(wanted["mean"]), tuple(wanted["std"]))
