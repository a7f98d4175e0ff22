"""The text tower with weights in 8 bits: used where it is faster and as good as fp32, or not."""

from pathlib import Path

import pytest

from app.encoders import fast_start, fidelity
from app.encoders.encoder import OpenClipEncoder
from app.encoders.model_request import ModelRequest, RuntimeOptions
from app.encoders.openvino import COMPRESSED
from app.encoders.torch_models import compressed_texts, conversion, openclip
from app.encoders.torch_models.loaded_model import LoadedModel
from app.settings import DEMO_MODEL_DIR

DEMO = f"local-dir:{DEMO_MODEL_DIR}"
FASTER, SLOWER, SHORT = (0.02, 0.01), (0.02, 0.03), (0.001, 0.0005)
CLOSE = 0.999  # what the small demo model keeps


class Timer:
    """Says how long the plain tower and the compressed one take, and counts how often."""

    def __init__(self, seconds: tuple[float, float]) -> None:
        self.seconds = seconds
        self.asked = 0

    def __call__(self, encoders: list[OpenClipEncoder]) -> list[float]:
        self.asked += 1
        return list(self.seconds[: len(encoders)])


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return openclip.load_torch(DEMO, "", "cpu", "demo model")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def encoder(loaded: LoadedModel, folder: Path) -> OpenClipEncoder:
    return loaded.encoder.on(conversion.towers(loaded, folder, "fp32"))


def precision_of_texts(encoder: OpenClipEncoder) -> str:
    return str(vars(encoder.towers)["text_precision"])


def test_a_faster_tower_is_used_and_tried_once(
    loaded: LoadedModel, encoder: OpenClipEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed_texts, "MINIMUM_COSINE", CLOSE)
    timer = Timer(FASTER)
    first = compressed_texts.tried(loaded, encoder, folder, "faster", timer)
    assert timer.asked == 2
    second = compressed_texts.tried(loaded, encoder, folder, "faster", timer)
    assert timer.asked == 2
    for found in (first, second):
        assert precision_of_texts(found) == COMPRESSED
        assert found.space == encoder.space  # its vectors are as good as those in fp32
        assert fidelity.lowest_cosine(loaded.encoder, found) >= CLOSE


@pytest.mark.parametrize(
    ("seconds", "least", "kept"),
    [
        pytest.param(SLOWER, 0.0, ["verdict.json"], id="it is slower"),
        pytest.param(FASTER, 1.1, ["verdict.json"], id="it is not close enough"),
        pytest.param(SHORT, 0.0, [], id="there is little to gain"),
    ],
)
def test_otherwise_texts_stay_as_they_are(
    loaded: LoadedModel,
    encoder: OpenClipEncoder,
    folder: Path,
    seconds: tuple[float, float],
    least: float,
    kept: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compressed_texts, "MINIMUM_COSINE", least)
    key = f"{seconds}-{least}"
    for _ in range(2):
        found = compressed_texts.tried(loaded, encoder, folder, key, Timer(seconds))
        assert found is encoder
    assert [file.name for file in folder.glob(f"*-texts-{key}/*")] == kept


def test_a_start_without_torch_uses_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed_texts, "MINIMUM_COSINE", CLOSE)
    monkeypatch.setattr(compressed_texts, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(compressed_texts, "GAIN", float("inf"))
    options = RuntimeOptions("openvino", "auto", tmp_path)
    first = openclip.load(DEMO, "", "cpu", "demo model", options)
    found = fast_start.find(ModelRequest(DEMO, "", "cpu", "demo model", options))
    assert found is not None
    assert precision_of_texts(found) == precision_of_texts(first) == COMPRESSED
