"""The bundled model on the bundled pictures: the figures of the README, and what users type."""

import json
from pathlib import Path

import pytest

from app.encoders.encoder import OpenClipEncoder
from app.encoders.torch_models import openclip
from app.settings import DEMO_MODEL_DIR
from scripts.demo_model import evaluate, evaluate_gate
from tests.conftest import TEST_IMAGES

MAX_MODEL_BYTES = 25_000_000
MAX_PICTURES_BYTES = 8_000_000


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return openclip.load(f"local-dir:{DEMO_MODEL_DIR}", "", "cpu", "demo model")


def test_the_figures_hold(encoder: OpenClipEncoder) -> None:
    measured = evaluate.figures(*evaluate.encoders_of(encoder), TEST_IMAGES)
    assert evaluate.below_floors(measured) == []


def test_gates_stop_what_they_are_for_and_little_else(encoder: OpenClipEncoder) -> None:
    encode_texts, encode_images = evaluate.encoders_of(encoder)
    rows = [row for n, row in enumerate(evaluate.read_manifest(TEST_IMAGES)) if n % 4 == 0]
    gallery = encode_images([evaluate.open_picture(TEST_IMAGES / row["path"]) for row in rows])
    found = evaluate_gate.figures(encode_texts, encoder.logit_scale, gallery, rows)
    assert all(number > 0 for _, number in found.values())
    shares = {kind: stopped / number for kind, (stopped, number) in found.items()}
    assert evaluate_gate.beyond_bounds(shares) == []
    assert len(evaluate_gate.beyond_bounds(dict.fromkeys(shares, 0.5))) == len(shares) - 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("a green tree", {"tree"}),
        ("tree", {"tree"}),
        ("red car", {"car", "race", "racing"}),
        ("sports car", {"car", "race", "racing"}),
        ("tennis", {"tennis"}),
        ("astronaut", {"astronaut"}),
        ("airplane", {"airplane", "plane"}),
        ("rose", {"rose"}),
        ("dog", {"dog"}),
        ("cat", {"cat"}),
        ("树", {"tree"}),
        ("狗", {"dog"}),
    ],
)
def test_what_people_type_finds_it_first(
    encoder: OpenClipEncoder, query: str, words: set[str]
) -> None:
    encode_texts, encode_images = evaluate.encoders_of(encoder)
    rows = evaluate.read_manifest(TEST_IMAGES)
    gallery = encode_images([evaluate.open_picture(TEST_IMAGES / row["path"]) for row in rows])
    best = rows[int((gallery @ encode_texts([query])[0]).argmax())]["path"]
    assert words & set(Path(best).stem.split("-")), best


def test_the_bundle_is_small_and_whole() -> None:
    model = sum(path.stat().st_size for path in DEMO_MODEL_DIR.iterdir())
    pictures = [path for path in TEST_IMAGES.iterdir() if path.suffix != ".csv"]
    listed = {row["path"] for row in evaluate.read_manifest(TEST_IMAGES)}
    assert model <= MAX_MODEL_BYTES
    assert sum(path.stat().st_size for path in pictures) <= MAX_PICTURES_BYTES
    assert {path.name for path in pictures} == listed
    assert 200 <= len(listed) <= 300


def test_the_model_is_a_plain_open_clip_config() -> None:
    config = json.loads((DEMO_MODEL_DIR / "open_clip_config.json").read_text())
    assert set(config) == {"model_cfg", "preprocess_cfg"}
    assert "does not understand photographs" in (DEMO_MODEL_DIR / "README.md").read_text()
