import numpy as np
import pytest

from app.vectors import HALF_UNIT_TOLERANCE, VectorSpace, check_vectors, unit_halves, unit_rows


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


@pytest.mark.parametrize("dimensions", [128, 512, 1152])
def test_rounded_to_half_precision_rows_keep_length_one(dimensions: int) -> None:
    """Issue 21, line 2: else the longest of near-duplicates is the nearest of all of them."""
    rows = unit_rows(np.random.default_rng(1).standard_normal((200, dimensions)).astype(np.float32))
    halves = unit_halves(rows)
    assert halves.dtype == np.float16
    squares = np.square(halves, dtype=np.float64).sum(axis=1)
    assert np.abs(squares - 1).max() <= HALF_UNIT_TOLERANCE
    assert np.abs(halves - rows).max() < 1e-3
    plain = np.square(rows.astype(np.float16), dtype=np.float64).sum(axis=1)
    assert np.abs(plain - 1).max() > 20 * HALF_UNIT_TOLERANCE


def test_few_dimensions_come_as_near_to_length_one_as_they_can() -> None:
    rows = unit_rows(np.array([[1, 0, 0], [1, 1, 0], [-3, 4, 1]], np.float32))
    squares = np.square(unit_halves(rows), dtype=np.float64).sum(axis=1)
    assert squares == pytest.approx([1, 1, 1], abs=1e-3)
    assert squares[0] == 1
