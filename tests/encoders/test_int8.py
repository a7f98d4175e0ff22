"""An image tower in int8: recipes are tried until one is faithful, once for each model."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.encoders import fast_start, fidelity
from app.encoders.encoder import OpenClipEncoder
from app.encoders.model_request import Captioned, ModelRequest, RuntimeOptions
from app.encoders.openvino import IMAGE
from app.encoders.torch_models import compressed_texts, int8, int8_quality, openclip
from app.encoders.torch_models.conversion import conversion
from app.encoders.torch_models.int8_quality import Quality
from app.encoders.torch_models.quantisation import RECIPES, Recipe, quantise
from app.errors import ModelUnavailable
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.tiny_models import tiny_model

pytest.importorskip("nncf")

NO_SUCH_LAYERS = Recipe("without layers that are not there", 0.5, "no such layer")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model", seed=0)


@pytest.fixture(autouse=True)
def _texts_stay_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed_texts, "WORTH_SECONDS", 60.0)


def samples(count: int) -> list[Image.Image]:
    return [noise(seed) for seed in range(min(count, int8.FEWEST))]


def captioned() -> list[Captioned]:
    return [(noise(seed), f"picture {seed}") for seed in range(20)]


def request_for(model: str, folder: Path, most_seconds: float | None = None) -> ModelRequest:
    options = RuntimeOptions("openvino", "int8", folder, samples, captioned, most_seconds)
    return ModelRequest(model, "", "cpu", "tiny", options)


def load(request: ModelRequest) -> OpenClipEncoder:
    return openclip.load(request.model, "", "cpu", "tiny", request.options)


@pytest.fixture
def _any_is_faithful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of random weights int8 keeps little."""
    monkeypatch.setattr(int8_quality, "MINIMUM_MEAN_COSINE", 0.5)
    monkeypatch.setattr(int8_quality, "MINIMUM_OVERLAP", 0.1)
    monkeypatch.setattr(int8_quality, "MOST_LOST_RECALL", 1.0)


@pytest.mark.usefixtures("_any_is_faithful")
def test_the_next_start_needs_no_torch(model: str, tmp_path: Path) -> None:
    request = request_for(model, tmp_path)
    first, found = load(request), fast_start.find(request)
    assert found is not None
    assert (found.runtime, found.precision) == ("openvino", "int8")
    assert found.space == first.space
    pixels = [first.prepare(noise(seed)) for seed in range(5)]
    assert np.array_equal(found.encode_pixels(pixels), first.encode_pixels(pixels))
    exact = openclip.load_torch(model, "", "cpu").encoder
    assert found.space.fingerprint != exact.space.fingerprint
    (kept,) = tmp_path.glob("*-int8")
    (kept / IMAGE).unlink()
    assert fast_start.find(request) is None
    with pytest.raises(ModelUnavailable, match=r"is damaged\. Put a copy of that folder back"):
        load(request)


@pytest.mark.usefixtures("_any_is_faithful")
def test_the_first_faithful_recipe_is_taken(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = (NO_SUCH_LAYERS, *RECIPES)
    monkeypatch.setattr(int8, "RECIPES", recipes)
    encoder = load(request_for(model, tmp_path))
    (kept,) = tmp_path.glob("*-int8")
    verdict = json.loads((kept / int8.VERDICT).read_text())
    assert verdict["recipe"] == RECIPES[0].name
    assert [one["recipe"] for one in verdict["tried"]] == [RECIPES[0].name]
    assert verdict["fingerprint"] == encoder.space.fingerprint
    quality = int8.quality_of(encoder)
    assert quality == Quality.from_json(verdict)
    assert 0.5 < quality.cosine < 1
    assert quality.recall is not None


def test_of_unfaithful_towers_the_verdicts_are_kept_alone(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(int8_quality, "MINIMUM_OVERLAP", 1.1)
    for _ in range(2):
        assert load(request_for(model, tmp_path)).precision in {"fp32", "bf16"}
    (kept,) = tmp_path.glob("*-int8")
    assert [file.name for file in kept.iterdir()] == [int8.VERDICT]
    tried = json.loads((kept / int8.VERDICT).read_text())["tried"]
    assert [one["recipe"] for one in tried] == [recipe.name for recipe in RECIPES]
    assert caplog.text.count("quantising tiny on 20 pictures, once") == 1
    assert caplog.text.count("so floating point is used: mean cosine to fp32 0.") == 2


def test_second_layers_stay_as_they_are(model: str, tmp_path: Path) -> None:
    """Of the three recipes the last one leaves operations in floating point."""
    loaded = openclip.load_torch(model, "", "cpu")
    fp32 = conversion(loaded, tmp_path)
    pixels = [loaded.encoder.prepare(picture) for picture in samples(4)]
    sizes = []
    for number, recipe in enumerate(RECIPES):
        target = tmp_path / f"{number}.xml"
        assert quantise(fp32 / IMAGE, pixels, recipe, target)
        sizes.append(target.with_suffix(".bin").stat().st_size)
    assert sizes[0] == sizes[1] < sizes[2]
    assert not quantise(fp32 / IMAGE, pixels, NO_SUCH_LAYERS, tmp_path / "none.xml")
    assert not (tmp_path / "none.xml").exists()


def test_a_calibration_that_would_take_too_long_is_not_begun(model: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="IMAGE_SEARCH_PRECISION=int8 does it nevertheless"):
        load(request_for(model, tmp_path, most_seconds=0.0))
    assert not list(tmp_path.glob("*-int8"))


def test_a_model_that_cannot_be_quantised_is_said_so(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "RECIPES", (Recipe("a pattern that is none", 0.5, "("),))
    with pytest.raises(ModelUnavailable, match="int8 cannot be made of this model: "):
        load(request_for(model, tmp_path))
    assert not list(tmp_path.glob("*-int8"))


@pytest.mark.parametrize(
    ("quality", "faithful"),
    [
        (Quality(0.996, 0.96), True),
        (Quality(0.996, 0.96, recall=0.395, fp32_recall=0.4), True),
        (Quality(0.996, 0.96, recall=0.38, fp32_recall=0.4), False),
        (Quality(0.996, 0.94, recall=0.4, fp32_recall=0.4), False),
        (Quality(0.994, 0.96, recall=0.4, fp32_recall=0.4), False),
    ],
)
def test_all_of_the_quality_has_to_be_kept(quality: Quality, faithful: bool) -> None:
    assert quality.is_faithful == faithful
    assert Quality.from_json({"fingerprint": "a", **quality.to_json()}) == quality


def test_a_verdict_of_a_former_version_had_no_captions() -> None:
    kept = {"fingerprint": "a", "cosine": 0.997, "overlap": 0.97}
    assert Quality.from_json(kept) == Quality(0.997, 0.97)


def test_recall_counts_ties_against_the_text() -> None:
    gallery = np.eye(3, dtype=np.float32)
    texts = np.array([[1, 0, 0], [0, 0, 1], [0, 0.7, 0.7]], dtype=np.float32)
    assert fidelity.recall(texts, gallery) == pytest.approx(1 / 3)
