"""Which labels hold, by cosines that the test chooses."""

import numpy as np
import pytest

from app.database.label_tables import OTHER
from app.errors import LabelsRejected
from app.understanding.labels.labels import Label, LabelSet, check_set
from app.understanding.labels.scoring import MOST_HELD, Scorer

SCALE = 100.0
AXES = np.eye(6, dtype=np.float32)


def told(labels: LabelSet, rows: list[list[float]]) -> list[dict[str, float]]:
    """The labels of pictures whose cosines with the set's vectors, the axes, are `rows`."""
    pictures = np.array(rows, np.float32)
    held = Scorer(labels, AXES[:, : pictures.shape[1]], SCALE).held(pictures)
    found: list[dict[str, float]] = [{} for _ in rows]
    for row, name, probability in zip(held.pictures, held.labels, held.probabilities, strict=True):
        found[row][name] = float(probability)
    return found


def test_of_an_exclusive_set_one_label_holds() -> None:
    labels = LabelSet("kind", (Label("a"), Label("b")), exclusive=True, other=("c",))
    rows = [[0.3, 0.2, 0, 0], [0.2, 0.3, 0, 0], [0.2, 0.2, 0.3, 0], [0.3, 0.3, 0, 0]]
    first, second, neither, undecided = told(labels, [row[:3] for row in rows])
    assert first == {"a": pytest.approx(1, abs=1e-4)}
    assert second == {"b": pytest.approx(1, abs=1e-4)}
    assert neither == {OTHER: pytest.approx(1, abs=1e-4)}
    assert undecided == {"a": pytest.approx(0.5)}


def test_each_label_has_negatives_of_its_own() -> None:
    """Vectors: dog, cat, wolf, hyena (both of the dog's), lynx (the cat's), something else."""
    labels = LabelSet(
        "animals",
        (Label("dog", negatives=("wolf", "hyena")), Label("cat", negatives=("lynx",))),
        other=("else",),
    )
    both, wolf, lynx, nothing = told(
        labels,
        [
            [0.3, 0.3, 0.2, 0.2, 0.2, 0.1],
            [0.3, 0.3, 0.4, 0.2, 0.2, 0.1],
            [0.3, 0.3, 0.2, 0.2, 0.4, 0.1],
            [0.3, 0.3, 0.2, 0.2, 0.2, 0.5],
        ],
    )
    assert both.keys() == {"dog", "cat"}
    assert wolf.keys() == {"cat"}
    assert lynx.keys() == {"dog"}
    assert nothing.keys() == {OTHER}
    odds = np.exp(SCALE * (np.array([0.3, 0.2, 0.2, 0.1]) - 0.3))
    assert both["dog"] == pytest.approx(odds[0] / odds.sum(), abs=1e-4)


def test_a_picture_has_at_most_so_many_labels_of_a_set() -> None:
    labels = LabelSet("many", tuple(Label(str(n)) for n in range(30)), other=("else",))
    vectors = np.eye(31, dtype=np.float32)
    row = np.append(np.linspace(0.3, 0.4, 30), 0.28).astype(np.float32)
    held = Scorer(labels, vectors, SCALE).held(row[np.newaxis])
    assert len(held.labels) == MOST_HELD
    assert set(held.labels) == {str(n) for n in range(30 - MOST_HELD, 30)}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LabelSet("x", (Label(OTHER), Label("b"))), "'other' is reserved for pictures that have"),
        (LabelSet("x", (Label("a"),), other=()), "'a' is compared with nothing"),
    ],
)
def test_sets_that_tell_nothing_are_refused(labels: LabelSet, message: str) -> None:
    with pytest.raises(LabelsRejected, match=message):
        check_set(labels)


def test_a_set_is_stored_whole() -> None:
    labels = LabelSet(
        "x", (Label("a", ("b", "c"), ("d",)), Label("e")), True, 0.25, ("{}", "a {}"), ("f",)
    )
    assert LabelSet.from_json("x", labels.to_json()) == labels
