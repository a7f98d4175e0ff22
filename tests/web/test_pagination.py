"""Cursors of lists that go on after a number: what is no such number is refused."""

import pytest

from app.errors import CursorRejected
from app.web.pagination import MAX_POSITION, read_number, write_cursor


@pytest.mark.parametrize("position", [0, 17, MAX_POSITION])
def test_a_number_is_read_back(position: int) -> None:
    assert read_number("jobs", write_cursor("jobs", position)) == position


@pytest.mark.parametrize(
    "position",
    ["", "-1", "1.0", " 1", "1_0", "٣", "²", "a\0", MAX_POSITION + 1, "9" * 4_301, "9" * 30_000],
)
def test_all_else_is_refused(position: int | str) -> None:
    with pytest.raises(CursorRejected, match="belongs to another list"):
        read_number("jobs", write_cursor("jobs", position))


def test_the_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(CursorRejected):
        read_number("jobs", write_cursor("keys", 17))
