from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.encoders.encoder import OpenClipEncoder
from app.encoders.torch_models import openclip
from app.index import calibration
from app.index.calibration import (
    BIAS_WEIGHT,
    MIXTURES,
    NO_MATCH_BELOW,
    NullDistribution,
    is_no_match,
    is_stale,
    measure,
    picture_share,
    unrelated_texts,
)
from app.settings import DEMO_MODEL_DIR
from app.vectors import Vectors, unit_rows
from scripts.demo_model import evaluate, evaluate_no_match
from tests.conftest import TEST_IMAGES

DIMENSIONS = 32


def vectors(seed: int, count: int) -> Vectors:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSIONS))
    return unit_rows(rows.astype(np.float32))


def tiny(pictures: int) -> NullDistribution:
    return measure(vectors(1, 200), vectors(2, pictures), pictures)


@pytest.fixture(scope="module")
def encoder() -> OpenClipEncoder:
    return openclip.load(f"local-dir:{DEMO_MODEL_DIR}", "", "cpu", "demo model")


@pytest.fixture(scope="module")
def gallery(encoder: OpenClipEncoder) -> Vectors:
    paths = [TEST_IMAGES / row["path"] for row in evaluate.read_manifest(TEST_IMAGES)]
    return evaluate.encoders_of(encoder)[1]([evaluate.open_picture(path) for path in paths])


@pytest.fixture(scope="module")
def variants(encoder: OpenClipEncoder) -> Vectors:
    paths = [TEST_IMAGES / row["path"] for row in evaluate.read_manifest(TEST_IMAGES)]
    altered = [evaluate.variant(evaluate.open_picture(one), seed) for seed, one in enumerate(paths)]
    return evaluate.encoders_of(encoder)[1](altered)


@pytest.fixture(scope="module")
def demo(encoder: OpenClipEncoder, gallery: Vectors) -> NullDistribution:
    return measure(encoder.encode_texts(list(unrelated_texts())), gallery, len(gallery))


def test_absent_concepts_are_flagged_and_shown_ones_are_not(
    encoder: OpenClipEncoder, gallery: Vectors
) -> None:
    shares, absent = evaluate_no_match.figures(encoder.encode_texts, gallery, TEST_IMAGES)
    assert len(absent) == 100
    assert shares["absent"] >= 0.90
    assert shares["shown, English"] <= 0.05


def test_the_unrelated_texts_are_not_those_that_measure_them() -> None:
    shown = evaluate_no_match.shown_queries(TEST_IMAGES)
    asked = {*evaluate_no_match.absent_queries(), *(one for kind in shown.values() for one in kind)}
    texts = unrelated_texts()
    assert len(set(texts)) == len(texts) >= 400
    assert not asked & set(texts)


def test_a_picture_of_the_index_is_found_and_a_stranger_is_not(
    demo: NullDistribution, gallery: Vectors, variants: Vectors
) -> None:
    found = [demo.confidence(one, (gallery @ one).max(keepdims=True), 1) for one in variants]
    assert np.mean([is_no_match(one) for one in found]) <= 0.02
    noise = vectors(3, 50).repeat(gallery.shape[1] // DIMENSIONS, axis=1)
    for one in unit_rows(noise):
        assert is_no_match(demo.confidence(one, gallery @ one, 1))


def test_text_and_picture_together(
    demo: NullDistribution, encoder: OpenClipEncoder, gallery: Vectors, variants: Vectors
) -> None:
    rows = evaluate.read_manifest(TEST_IMAGES)
    both = unit_rows(encoder.encode_texts([row["caption"] for row in rows]) + variants)
    found = [is_no_match(demo.confidence(one, gallery @ one, 0.5)) for one in both]
    assert np.mean(found) <= 0.01


def test_texts_that_are_shown_hardly_move_the_null(
    encoder: OpenClipEncoder, gallery: Vectors
) -> None:
    probes = encoder.encode_texts(list(unrelated_texts()))
    captions = [row["caption"] for row in evaluate.read_manifest(TEST_IMAGES)[:60]]
    mixed = np.concatenate([probes, encoder.encode_texts(captions)])
    query = encoder.encode_texts(["a red car"])[0]
    best = (gallery @ query).max(keepdims=True)
    apart = [measure(one, gallery, 295).confidence(query, best)[0] for one in (probes, mixed)]
    assert abs(apart[0] - apart[1]) < 0.05


@given(
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1),
    st.lists(st.floats(-1, 1, width=32), min_size=2),
)
@settings(max_examples=60, deadline=None)
def test_a_higher_score_is_never_less_sure(
    pictures: int, seed: int, share: float, scores: list[float]
) -> None:
    ordered = np.sort(np.array(scores, np.float32))
    sure = tiny(pictures).confidence(vectors(seed, 1)[0], ordered, share)
    assert sure.dtype == np.float32
    assert np.isfinite(sure).all()
    assert (np.diff(sure) >= 0).all()
    assert sure.min() >= 0
    assert sure.max() <= 1


@pytest.mark.parametrize("pictures", [1, 2, 3, 10])
@pytest.mark.parametrize("share", MIXTURES)
def test_pictures_all_alike(pictures: int, share: float) -> None:
    alike = np.repeat(vectors(2, 1), pictures, axis=0)
    null = measure(vectors(1, 200), alike, pictures)
    assert not is_no_match(null.confidence(alike[0], alike @ alike[0], share))
    sure = null.confidence(-alike[0], alike @ -alike[0], share)
    assert np.isfinite(sure).all()


@pytest.mark.parametrize("pictures", [1, 3, 10, 300])
def test_of_unrelated_queries_as_many_are_flagged_as_the_cut_off_says(pictures: int) -> None:
    null, gallery = tiny(pictures), vectors(2, pictures)
    for share, queries in ((0.0, vectors(4, 2000)), (1.0, vectors(5, 2000))):
        if share and pictures < 300:
            continue  # too few pairs for a law of pictures
        found = [is_no_match(null.confidence(one, gallery @ one, share)) for one in queries]
        assert np.mean(found) == pytest.approx(NO_MATCH_BELOW, abs=0.08)


def test_the_order_of_the_pictures_does_not_matter() -> None:
    probes, pictures = vectors(1, 200), vectors(2, 50)
    one, other = measure(probes, pictures, 50), measure(probes, pictures[::-1], 50)
    assert one.bias == pytest.approx(other.bias, abs=1e-6)
    assert one.locations == pytest.approx(other.locations, abs=1e-5)
    assert one.scales == pytest.approx(other.scales, abs=1e-5)


def test_the_bias_is_at_most_its_share() -> None:
    assert np.linalg.norm(tiny(20).bias) <= 2 * BIAS_WEIGHT


def test_a_larger_index_than_the_sample_asks_more_of_pictures() -> None:
    probes, sample = vectors(1, 200), vectors(2, 100)
    small, large = measure(probes, sample, 100), measure(probes, sample, 100_000)
    assert (large.locations[1:] > small.locations[1:]).all()
    assert large.locations[0] == small.locations[0]  # texts were scored by the whole index


def test_best_scores_of_the_whole_index_are_taken_as_they_are() -> None:
    probes, sample = vectors(1, 200), vectors(2, 100)
    higher = (probes @ sample.T).max(axis=1) + np.float32(0.1)
    one, other = measure(probes, sample, 100), measure(probes, sample, 100, higher)
    assert other.locations[0] - one.locations[0] == pytest.approx(0.1, abs=1e-4)


def test_storing() -> None:
    null = tiny(20)
    again = NullDistribution.from_bytes(null.to_bytes())
    np.testing.assert_array_equal(again.bias, null.bias)
    np.testing.assert_array_equal(again.locations, null.locations)
    np.testing.assert_array_equal(again.scales, null.scales)
    assert again.counted == 20
    with pytest.raises(ValueError, match="measure it anew"):
        NullDistribution.from_bytes(b"")


def test_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = replace(tiny(5), counted=7).to_bytes()
    monkeypatch.setattr(calibration, "STORED_FORMAT", calibration.STORED_FORMAT + 1)
    with pytest.raises(ValueError, match="measure it anew"):
        NullDistribution.from_bytes(stored)


def test_no_hits_and_no_pictures() -> None:
    none: NDArray[np.float32] = np.empty(0, np.float32)
    assert is_no_match(tiny(5).confidence(vectors(3, 1)[0], none))
    with pytest.raises(ValueError, match="without pictures"):
        measure(vectors(1, 200), np.empty((0, DIMENSIONS), np.float32), 0)


@pytest.mark.parametrize(
    ("counted", "now", "stale"),
    [
        *((0, 0, False), (0, 1, True), (3, 4, True), (4, 3, True), (8, 9, False), (8, 10, True)),
        *((1000, 1249, False), (1000, 1250, True), (1000, 750, True), (1000, 1000, False)),
    ],
)
def test_staleness(counted: int, now: int, stale: bool) -> None:
    assert is_stale(counted, now) == stale


@pytest.mark.parametrize(
    ("texts", "pictures", "share"),
    [
        *(([1.0], [], 0), ([], [1.0], 1), ([1.0], [1.0], 0.5), ([3.0, -1.0], [1.0], 0.25)),
        *(([1.0], [-1.0], 0), ([-1.0], [1.0], 1), ([], [], 0)),
    ],
)
def test_the_pictures_share(texts: list[float], pictures: list[float], share: float) -> None:
    assert picture_share(texts, pictures) == share
