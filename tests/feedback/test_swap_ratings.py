"""Whether ratings fell when another model came into use (issue 18)."""

from datetime import UTC, datetime

import pytest

from app.feedback.swap_ratings import FEWEST, SideRatings, SwapRatings


@pytest.mark.parametrize(
    ("after", "fell"),
    [
        (SideRatings(FEWEST, 4.0, 2.0), True),
        (SideRatings(FEWEST, 6.5, 2.0), False),  # lower by chance
        (SideRatings(FEWEST, 9.0, 2.0), False),
        (SideRatings(FEWEST - 1, 1.0, 0.0), None),  # too few
        (SideRatings(0, None, None), None),
    ],
)
def test_a_fall_is_more_than_chance(after: SideRatings, fell: bool | None) -> None:
    before = SideRatings(FEWEST, 7.0, 2.0)
    swap = SwapRatings("default", datetime.now(UTC), "one", "another", before, after)
    assert swap.fell is fell
