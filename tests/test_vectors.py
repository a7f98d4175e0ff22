import numpy as np
import pytest

from app.vectors import VectorSpace, check_vectors, unit_rows


def test_rows_become_unit_length() -> None:
    rows = unit_rows(np.array([[3, 4, 0, 0], [0, 0, 0, 2]], np.float32))
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1])
    assert rows[0] == pytest.approx([0.6, 0.8, 0, 0])


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_a_row_without_direction_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        unit_rows(np.full((1, 4), value, np.float32))


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones((1, 4), np.float32),  # length 2
        np.full((1, 4), np.nan, np.float32),
        np.eye(3, dtype=np.float32),  # three dimensions
        np.array([1, 0, 0, 0], np.float32),  # one row, not a batch
    ],
)
def test_unsound_vectors_never_pass(vectors: np.ndarray, space: VectorSpace) -> None:
    with pytest.raises(ValueError, match="embedding"):
        check_vectors(vectors, space)


def test_sound_vectors_pass(space: VectorSpace) -> None:
    vectors = np.eye(4, dtype=np.float32)
    check_vectors(vectors, space)
    assert unit_rows(vectors) == pytest.approx(vectors)


def test_a_space_is_named_as_people_name_models(space: VectorSpace) -> None:
    assert space.name == "tiny / made-up"
    assert VectorSpace("demo model", "", "f", 4).name == "demo model"
