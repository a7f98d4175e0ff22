"""Labels become vectors as in CLIP's recipe, and cosines probabilities."""

from collections.abc import Sequence

import numpy as np
import pytest

from app.errors import LabelsRejected
from app.understanding.labels.labels import MAX_PROMPTS, Label, check_labels
from app.understanding.labels.prompts import TEXT_BATCH, encode_phrases
from app.understanding.labels.scoring import best_phrases, softmax
from app.vectors import Vectors, unit_rows

TEMPLATES = ["{}", "a photo of {}"]


def letters(texts: Sequence[str]) -> Vectors:
    """A vector of each text: how often it has each of some letters."""
    assert 1 <= len(texts) <= TEXT_BATCH
    counts = [[1 + text.count(letter) for letter in "abcdeopt"] for text in texts]
    return unit_rows(np.array(counts, np.float32))


def test_a_phrases_vector_is_the_mean_of_its_prompts() -> None:
    phrases = ["cat", "a dog", "a parrot", "a toad", "a"]
    found = encode_phrases(letters, phrases, TEMPLATES)
    expected = [letters([one, f"a photo of {one}"]).mean(axis=0) for one in phrases]
    np.testing.assert_allclose(found, unit_rows(np.stack(expected)), atol=1e-6)


def test_a_label_is_as_near_as_its_best_phrase() -> None:
    labels = [Label("pet", ("a dog", "a cat")), Label("tree"), Label("car", ("a car", "a bus"))]
    cosines = np.array([[0.1, 0.3, 0.2, 0.2, 0.25, 0.9], [0.3, 0.1, 0.2, 0.1, 0.0, 0.9]])
    assert best_phrases(cosines, labels).tolist() == [[0.3, 0.2, 0.25], [0.3, 0.2, 0.1]]


def test_probabilities_are_the_softmax_of_scaled_cosines() -> None:
    cosines = np.array([[0.30, 0.25, 0.20], [0.1, 0.1, 0.1]], np.float32)
    odds = np.exp([5.0, 0.0, -5.0])
    expected = [odds / odds.sum(), [1 / 3] * 3]
    np.testing.assert_allclose(softmax(cosines, 100.0), expected, rtol=1e-4)
    assert softmax(np.array([[1.0, -1.0]]), 10_000.0).tolist() == [[1, 0]]  # no overflow


@pytest.mark.parametrize(
    ("labels", "templates", "told"),
    [
        ([Label("a"), Label("a")], TEMPLATES, "labels: 'a' occurs twice"),
        ([Label("a")], ["a photo"], "templates: 'a photo' needs {} once"),
        ([Label("a")], ["{} and {}"], "needs {} once"),
        (
            [Label(str(n), tuple("abcdefghij")) for n in range(MAX_PROMPTS // 10)],
            TEMPLATES,
            "2,000 prompts; 1,000 are allowed",
        ),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(
    labels: list[Label], templates: list[str], told: str
) -> None:
    with pytest.raises(LabelsRejected, match=told):
        check_labels(labels, templates)
