"""Every family of open_clip's, small: our vectors are its own (issue 18, line 24).

`make test-models` does the same at full size.
"""

import math
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from app.encoders.encoder import OpenClipEncoder
from app.encoders.model_request import RuntimeOptions
from app.encoders.torch_models import openclip
from app.encoders.torch_models.loaded_model import LoadedModel
from app.encoders.torch_models.runtime_choice import choose_runtime
from tests.fixtures.drawn_pictures import noise
from tests.fixtures.small_families import FAMILIES, small_family

TEXTS = ["a green tree", "", "two dogs and a red car on a long road " * 9, "自行车 and 狗", "tree"]
PICTURES = [
    noise(1, (500, 375)),
    Image.new("RGB", (61, 130), "navy"),
    Image.new("RGB", (90, 90), "yellow"),
]
CUT = {"PE-Core-B-16", "EVA02-B-16", "convnext_base_w", "RN50"}
"""Those whose texts may be cut: they look back alone, and are read where a text ends."""
CONVERTED = ("PE-Core-B-16", "coca_ViT-B-32")  # rotary positions, and a mask made of the tokens
LEAST = 0.9999  # cosine, in fp32
APART = 0.05  # largest distance to it, as a share of the least between two of its own


@dataclass(frozen=True)
class Family:
    """One family's small model, as we load it, with open_clip's own vectors."""

    name: str
    ours: LoadedModel
    theirs: torch.nn.Module
    texts: NDArray[np.float32]
    pictures: NDArray[np.float32]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    model = small_family(request.param, tmp_path_factory.mktemp("family"))
    theirs, prepare = open_clip.create_model_from_pretrained(model)
    tokens = open_clip.get_tokenizer(model)(TEXTS)
    with torch.inference_mode():
        texts = theirs.eval().encode_text(tokens, normalize=True)
        pictures = theirs.encode_image(
            torch.stack([prepare(one) for one in PICTURES]), normalize=True
        )
    ours = openclip.load_torch(model, "", "cpu")
    return Family(request.param, ours, theirs, texts.numpy(), pictures.numpy())


def compare(encoder: OpenClipEncoder, family: Family) -> None:
    """Our vectors are open_clip's, of inputs that are run singly and together.

    And nearer than any two of its own: random weights tell little apart.
    """
    pixels = [encoder.prepare(one) for one in PICTURES]
    singly = [encoder.encode_texts([one])[0] for one in TEXTS]
    alone = [encoder.encode_pixels([one])[0] for one in pixels]
    texts = np.stack([encoder.encode_texts(TEXTS), singly])
    pictures = np.stack([encoder.encode_pixels(pixels), alone])
    for ours, theirs in ((texts, family.texts), (pictures, family.pictures)):
        assert (ours * theirs).sum(axis=-1).min() >= LEAST
        among = [np.linalg.norm(a - b) for a, b in combinations(theirs, 2)]
        assert np.linalg.norm(ours - theirs, axis=-1).max() < APART * min(among)


def test_vectors_are_open_clips(family: Family) -> None:
    compare(family.ours.encoder, family)
    for name in ("logit_scale", "logit_bias"):
        ours, theirs = getattr(family.ours.text.model, name), getattr(family.theirs, name)
        assert ours == theirs
    scale = float(family.ours.text.model.logit_scale)
    assert family.ours.encoder.logit_scale == pytest.approx(math.exp(scale))


def test_only_texts_that_look_back_alone_are_cut(family: Family) -> None:
    """SigLIP 2 reads the last position, MobileCLIP 2 and CoCa look at what is behind a text."""
    assert family.ours.text.cuts == (family.name in CUT)
    tokens = family.ours.tokenizer(TEXTS[:1]).numpy()
    assert family.ours.text.cut(tokens).shape[1] == (8 if family.name in CUT else tokens.shape[1])


@pytest.mark.parametrize("family", CONVERTED, indirect=True)
def test_converted_vectors_are_open_clips(family: Family, tmp_path: Path) -> None:
    options = RuntimeOptions("openvino", "fp32", tmp_path)
    encoder = choose_runtime(family.ours, options).encoder
    assert encoder.runtime == "openvino"
    compare(encoder, family)
