from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from app.catalog.duplicates import perceptual_groups
from app.catalog.duplicates.perceptual_groups import (
    BLOCK_CELLS,
    MAX_PAIRS_PER_HASH,
    MAX_THRESHOLD,
    Hashes,
    group_hashes,
)
from app.errors import ImageRejected
from app.pictures.decoding import decode
from app.pictures.perceptual_hash import perceptual_hash
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import encoded, noise

MEGAPIXELS = 50
MANY = 100_000
ALIKE = 6  # bits


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@cache
def pictures() -> list[Image.Image]:
    found = []
    for path in sorted(TEST_IMAGES.iterdir()):
        try:
            found.append(decode(path.read_bytes(), MEGAPIXELS).image)
        except ImageRejected:
            assert path.suffix == ".csv"
    assert len(found) > 200
    return found


def jpeg(image: Image.Image) -> Image.Image:
    return decode(encoded(image, "JPEG", quality=60), MEGAPIXELS).image


def resized(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize(
        (round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC
    )


def brighter(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: ImageEnhance.Brightness(image).enhance(factor)


@pytest.mark.parametrize(
    "change",
    [resized(0.4), resized(1.7), jpeg, brighter(1.08), brighter(0.92)],
    ids=["smaller", "larger", "recompressed", "brighter", "darker"],
)
def test_a_variant_is_near_its_original(change: Callable[[Image.Image], Image.Image]) -> None:
    apart = [
        distance(perceptual_hash(image), perceptual_hash(change(image))) for image in pictures()
    ]
    assert np.mean(np.array(apart) <= ALIKE) >= 0.99
    assert max(apart) <= 10
    assert np.mean(apart) < 2


def test_unrelated_pictures_are_far_apart() -> None:
    hashes = np.array([perceptual_hash(image) for image in pictures()])
    apart = np.bitwise_count(hashes[:, None] ^ hashes)[np.triu_indices(len(hashes), 1)]
    assert np.mean(apart > MAX_THRESHOLD) >= 0.995
    assert apart.min() > ALIKE


@pytest.mark.parametrize("seed", range(30))
def test_a_hash_is_the_median_of_the_transform(seed: int) -> None:
    """The formula, written out, on a picture that needs no resizing."""
    grey = noise(seed, (32, 32)).convert("L")
    pixels = np.asarray(grey, float)
    place = np.arange(32) + 0.5
    waves = [np.cos(np.pi * k * place / 32) * np.sqrt((2 if k else 1) / 32) for k in range(8)]
    kept = [float(down @ pixels @ across) for down in waves for across in waves][1:]
    bits = "".join(str(int(value > np.median(kept) + 2)) for value in kept)
    assert perceptual_hash(grey.convert("RGB")) == int(bits, 2)


@pytest.mark.parametrize("seed", range(20))
def test_a_hash_fits_a_bigint_and_is_the_same_each_time(seed: int) -> None:
    data = encoded(noise(seed, (1500, 1200)), "JPEG")
    first, second = (perceptual_hash(decode(data, MEGAPIXELS).image) for _ in range(2))
    assert first == second
    assert 0 < first < 2**63


def test_faint_pictures_are_not_lost_in_rounding() -> None:
    faint = [noise(seed, (640, 480)).point(lambda tone: 120 + tone // 16) for seed in range(40)]
    small = map(resized(0.5), faint)
    apart = [
        distance(perceptual_hash(one), perceptual_hash(other))
        for one, other in zip(faint, small, strict=True)
    ]
    assert np.mean(apart) < 0.25  # 0.4 where the 32 × 32 greys are whole numbers


def test_a_drafted_picture_is_near_the_full_one() -> None:
    data = encoded(resized(6)(pictures()[0]), "JPEG")
    drafted, full = (decode(data, MEGAPIXELS, side).image for side in (256, 10_000))
    assert drafted.size != full.size
    assert distance(perceptual_hash(drafted), perceptual_hash(full)) <= 2


@pytest.mark.parametrize("color", ["white", "black", "red", (1, 2, 3)])
@pytest.mark.parametrize("size", [(1, 1), (1024, 768), (100, 1)])
def test_a_picture_of_one_color_has_the_hash_nought(
    color: str | tuple[int, int, int], size: tuple[int, int]
) -> None:
    flat = Image.new("RGB", size, color)
    assert perceptual_hash(flat) == perceptual_hash(jpeg(flat)) == 0


@pytest.mark.parametrize("seed", range(1, 6))
def test_stripes_are_seen_and_what_they_lack_is_no_noise(seed: int) -> None:
    """All but one row or column of their transform is zero, give or take rounding."""
    across = noise(seed).resize((400, 1)).resize((400, 300))
    for stripes in (across, across.transpose(Image.Transpose.TRANSPOSE)):
        assert 1 <= perceptual_hash(stripes).bit_count() <= 7
        assert distance(perceptual_hash(stripes), perceptual_hash(jpeg(stripes))) <= 2


def test_a_narrow_picture_has_a_hash() -> None:
    assert perceptual_hash(noise(1, (2000, 20))) > 0


def reference(hashes: list[int], threshold: int) -> list[list[int]]:
    """All pairs, joined one by one."""
    member = list(range(len(hashes)))
    for i, one in enumerate(hashes):
        for j, other in enumerate(hashes[:i]):
            if ((one ^ other) & (2**64 - 1)).bit_count() <= threshold:
                member = [member[j] if at == member[i] else at for at in member]
    found = [[i for i, at in enumerate(member) if at == group] for group in set(member)]
    return sorted(group for group in found if len(group) > 1)


CENTERS = st.sampled_from([0, -1, 2**63 - 1, -(2**63), 0x123456789ABCDEF])
FLIPS = st.lists(st.integers(0, 63), max_size=20)


def flipped(center: int, bits: list[int]) -> int:
    value = center & (2**64 - 1)
    for bit in bits:
        value ^= 1 << bit
    return value - 2**64 if value >= 2**63 else value


@settings(max_examples=60, deadline=None)
@given(hashes=st.lists(st.builds(flipped, CENTERS, FLIPS), max_size=25))
def test_groups_are_those_of_comparing_all_with_all(hashes: list[int]) -> None:
    for threshold in range(MAX_THRESHOLD + 1):
        found = group_hashes(np.array(hashes, np.int64), threshold)
        assert found == reference(hashes, threshold)


@pytest.mark.parametrize("threshold", [0, 3, 8, MAX_THRESHOLD])
@pytest.mark.parametrize("spread", [2, 6, 12])
@pytest.mark.parametrize(
    ("sparse", "cells"), [(MAX_PAIRS_PER_HASH, BLOCK_CELLS), (-1, 64), (MANY, 64)]
)
def test_clusters_are_the_same_whichever_way_a_bucket_is_gone_through(
    sparse: int, cells: int, spread: int, threshold: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perceptual_groups, "MAX_PAIRS_PER_HASH", sparse)
    monkeypatch.setattr(perceptual_groups, "BLOCK_CELLS", cells)
    rng = np.random.default_rng(spread)
    hashes = np.concatenate([ball(rng, 150, spread), ball(rng, 150, spread)])
    rng.shuffle(hashes)
    assert group_hashes(hashes, threshold) == reference(hashes.tolist(), threshold)


def ball(rng: np.random.Generator, count: int, spread: int) -> Hashes:
    """Hashes that differ from a common one in at most `spread` bits."""
    hashes = np.full(count, rng.integers(-(2**63), 2**63 - 1), np.int64)
    for _ in range(spread):
        hashes ^= np.int64(1) << rng.integers(0, 64, count)
    return hashes


@pytest.mark.parametrize("threshold", [-1, MAX_THRESHOLD + 1])
def test_a_threshold_out_of_bounds_is_refused(threshold: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 16"):
        group_hashes(np.zeros(2, np.int64), threshold)


@pytest.mark.parametrize("hashes", [[], [5]])
def test_too_few_for_a_group(hashes: list[int]) -> None:
    assert group_hashes(np.array(hashes, np.int64), MAX_THRESHOLD) == []


def test_positions_and_groups_ascend() -> None:
    hashes = np.array([2**40, -1, 7, -1, 2**40, 7, -1, 0x0F0F0F0F0F0F], np.int64)
    assert group_hashes(hashes, 0) == [[0, 4], [1, 3, 6], [2, 5]]


def test_a_hundred_thousand_with_pairs_hidden_among_them() -> None:
    rng = np.random.default_rng(7)
    hashes = rng.integers(-(2**63), 2**63 - 1, MANY)
    places = rng.permutation(MANY)[:3000].reshape(1000, 3)
    for change, (original, *copies) in zip(
        rng.permuted(np.tile(np.arange(64), (1000, 1)), axis=1), places, strict=True
    ):
        far = np.bitwise_or.reduce(np.int64(1) << change[:ALIKE])
        hashes[copies] = hashes[original] ^ far, hashes[original] ^ np.int64(1) << change[-1]
    assert group_hashes(hashes, ALIKE) == sorted(sorted(group) for group in places.tolist())


def test_a_hundred_thousand_half_of_them_white_or_nearly() -> None:
    """Equal and near-equal hashes in tens of thousands, which pairs alone would not get through."""
    rng = np.random.default_rng(8)
    white, nearly = np.zeros(MANY // 4, np.int64), ball(rng, MANY // 4, 4)
    assert len(np.unique(nearly)) ** 2 > 100 * BLOCK_CELLS
    hashes = np.concatenate([white, nearly, rng.integers(-(2**63), 2**63 - 1, MANY // 2)])
    found = group_hashes(hashes, ALIKE)
    assert found == [list(range(MANY // 4)), list(range(MANY // 4, MANY // 2))]
