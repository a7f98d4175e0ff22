"""Pictures resized and cropped by Pillow alone: open_clip's pixels, every one of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from open_clip.transform import PreprocessCfg, image_transform_v2

from app.encoders.inputs.preprocessing import MODES, Preprocessing
from app.encoders.torch_models.loaded_model import split
from tests.fixtures.drawn_pictures import noise

SIZES = [(500, 375), (375, 500), (80, 120), (224, 224), (225, 223), (1999, 700), (33, 900), (5, 3)]
TARGETS = [224, (224, 224), (32, 48), (65, 33)]


def difference(size: tuple[int, int], target: Any, mode: str, kind: str, fill: int = 0) -> int:
    """The largest between two pixels of ours and of open_clip's."""
    config = PreprocessCfg(size=target, resize_mode=mode, interpolation=kind, fill_color=fill)
    theirs, _ = split(image_transform_v2(config, is_train=False))
    height, width = (target, target) if isinstance(target, int) else target
    image = noise(sum(size), size)
    a = np.asarray(Preprocessing(height, width, mode, kind, fill)(image))
    b = np.asarray(theirs(image))
    assert a.dtype == np.uint8
    assert a.shape == b.shape == (height, width, 3)
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("kind", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", TARGETS)
def test_pixels_are_open_clips(target: Any, mode: str, kind: str) -> None:
    assert [difference(size, target, mode, kind) for size in SIZES] == [0] * len(SIZES)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_missing_is_filled_as_open_clip_does(target: Any) -> None:
    found = [difference(size, target, mode, "bicubic", 127) for size in SIZES for mode in MODES]
    assert found == [0] * len(found)


@settings(max_examples=250, deadline=None)
@given(
    size=some.tuples(some.integers(20, 300), some.integers(20, 300)),
    target=some.integers(16, 64) | some.tuples(some.integers(16, 64), some.integers(16, 64)),
    mode=some.sampled_from(MODES),
    kind=some.sampled_from(["bicubic", "bilinear", "random"]),
)
@example(size=(41, 40), target=(19, 20), mode="shortest", kind="bilinear")
def test_pictures_of_any_size_have_the_same_pixels(
    size: tuple[int, int], target: Any, mode: str, kind: str
) -> None:
    assert difference(size, target, mode, kind) == 0


def test_a_way_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be resized by stretch"):
        Preprocessing(32, 32, "stretch", "bicubic")


def test_a_sliver_that_would_have_no_pixels_is_refused_by_both() -> None:
    theirs, _ = split(image_transform_v2(PreprocessCfg(size=8, resize_mode="longest"), False))
    for shape in (theirs, Preprocessing(8, 8, "longest", "bicubic")):
        with pytest.raises(ValueError, match="must be > 0"):
            shape(noise(1, (4, 300)))
