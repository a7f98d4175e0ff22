"""Panoramas are encoded by tiles, neither cropped nor squeezed (issue 16)."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from app.encoders.batching import Batcher, Priority
from app.encoders.encoder import OpenClipEncoder
from app.encoders.inputs.panoramas import MAX_TILES, tiles
from app.encoders.resident_model import ResidentModel
from app.encoders.torch_models import openclip
from app.pictures.decoding import decode
from app.settings import DEMO_MODEL_DIR
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import encoded, noise

SIDE = 224
AT_THE_ENDS = ("green-palm-tree.png", "red-car.png")


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return openclip.load(f"local-dir:{DEMO_MODEL_DIR}", "", "cpu", "demo model")


@pytest.fixture
def model(encoder: OpenClipEncoder) -> Iterator[ResidentModel]:
    batcher = Batcher(max_items=4)
    yield ResidentModel(lambda: encoder, batcher)
    batcher.close()


def panorama(aspect: int, *names: str) -> Image.Image:
    """White, with a picture at each end."""
    image = Image.new("RGB", (aspect * SIDE, SIDE), "white")
    for name, left in zip(names, (0, (aspect - 1) * SIDE), strict=True):
        with Image.open(TEST_IMAGES / name) as drawn:
            image.paste(drawn.convert("RGB").resize((SIDE, SIDE)), (left, 0))
    return image


@pytest.mark.parametrize("size", [(100, 100), (160, 90), (90, 160), (200, 100), (1, 1)])
def test_other_pictures_stay_whole(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    assert tiles(image) == [image]


@pytest.mark.parametrize(
    ("size", "count"), [((300, 100), 3), ((250, 100), 3), ((100, 410), 5), ((3_000, 30), MAX_TILES)]
)
def test_tiles_are_squares_from_end_to_end(size: tuple[int, int], count: int) -> None:
    ramp = np.linspace(0, 255, max(size)).astype(np.uint8)
    rows = np.broadcast_to(ramp, size[::-1]) if size[0] > size[1] else ramp[:, None]
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(rows, size[::-1])))
    found = tiles(image)
    assert [tile.size for tile in found] == [(min(size), min(size))] * count
    pixels = [np.asarray(tile) for tile in found]
    assert (pixels[0].min(), pixels[-1].max()) == (0, 255)


def test_both_ends_of_a_panorama_are_found(model: ResidentModel) -> None:
    """The middle, all that a model would see of it, is white."""
    wide, middle = panorama(5, *AT_THE_ENDS), Image.new("RGB", (SIDE, SIDE), "white")
    for image in (wide, wide.transpose(Image.Transpose.ROTATE_90)):
        vectors = model.encode_images([image, middle])
        assert vectors[0] @ vectors[1] < 0.95
    texts = model.encode_texts(["a green palm tree", "a red car"], Priority.SEARCH)
    vectors = model.encode_images([wide, middle])
    assert (texts @ vectors[0] > texts @ vectors[1] + 0.05).all()


def test_panoramas_and_others_are_encoded_together(model: ResidentModel) -> None:
    images = [noise(1), panorama(3, *AT_THE_ENDS), noise(2), panorama(8, *AT_THE_ENDS)]
    together = model.encode_images(images)
    apart = np.concatenate([model.encode_images([image]) for image in images])
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert (together * apart).sum(axis=1).min() > 0.999
    parts = model.encode_images(tiles(images[1]))
    mean = parts.mean(axis=0)
    assert together[1] @ (mean / np.linalg.norm(mean)) > 0.999


def test_the_longest_panorama_is_decoded_and_encoded(model: ResidentModel) -> None:
    strip = decode(encoded(Image.new("RGB", (3_200, 32), "red"), "JPEG"), 50).image
    assert model.encode_images([strip]).shape[0] == 1
