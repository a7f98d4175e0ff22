"""Dates in queries (issue 16, natural dates)."""

from datetime import date

import pytest

from app.search.suggestions.periods import find_periods

TODAY = date(2026, 11, 28)  # a Saturday


@pytest.mark.parametrize(
    ("query", "part", "start", "stop"),
    [
        ("beach 2019", "2019", "2019-01-01", "2020-01-01"),
        ("the pier in 2019", "in 2019", "2019-01-01", "2020-01-01"),
        ("may 2019", "may 2019", "2019-05-01", "2019-06-01"),
        ("a dog, Dec. 2018", "Dec. 2018", "2018-12-01", "2019-01-01"),
        ("2019-05 pier", "2019-05", "2019-05-01", "2019-06-01"),
        ("on 5 May 2019", "on 5 May 2019", "2019-05-05", "2019-05-06"),
        ("May 5th, 2019", "May 5th, 2019", "2019-05-05", "2019-05-06"),
        ("31.12.2018 Feuer", "31.12.2018", "2018-12-31", "2019-01-01"),
        ("the 1990s", "the 1990s", "1990-01-01", "2000-01-01"),
        ("summer 2019", "summer 2019", "2019-06-01", "2019-09-01"),
        ("winter 2018", "winter 2018", "2018-12-01", "2019-03-01"),
        ("Lisbon last summer", "last summer", "2026-06-01", "2026-09-01"),
        ("last winter", "last winter", "2025-12-01", "2026-03-01"),
        ("this autumn", "this autumn", "2026-09-01", "2026-12-01"),
        ("last week", "last week", "2026-11-16", "2026-11-23"),
        ("last month", "last month", "2026-10-01", "2026-11-01"),
        ("2 years ago", "2 years ago", "2024-01-01", "2025-01-01"),
        ("yesterday", "yesterday", "2026-11-27", "2026-11-28"),
        ("last Christmas", "last Christmas", "2025-12-24", "2025-12-27"),
        ("Weihnachten 2018", "Weihnachten 2018", "2018-12-24", "2018-12-27"),
        ("letzten Sommer", "letzten Sommer", "2026-06-01", "2026-09-01"),
        ("海边2019年5月", "2019年5月", "2019-05-01", "2019-06-01"),
        ("2019年十二月3日", "2019年十二月3日", "2019-12-03", "2019-12-04"),
        ("去年夏天的海", "去年夏天", "2025-06-01", "2025-09-01"),
        ("上个月", "上个月", "2026-10-01", "2026-11-01"),
        ("前天", "前天", "2026-11-26", "2026-11-27"),
        ("AUGUſT 2019", "AUGUſT 2019", "2019-08-01", "2019-09-01"),  # other letters for i and s
        ("aprıl 2019", "aprıl 2019", "2019-04-01", "2019-05-01"),
        ("wİnter 2018", "wİnter 2018", "2018-12-01", "2019-03-01"),
        ("laſt ſpring", "laſt ſpring", "2026-03-01", "2026-06-01"),
        ("yeſterday", "yeſterday", "2026-11-27", "2026-11-28"),
        ("MÄRZ 2019", "MÄRZ 2019", "2019-03-01", "2019-04-01"),
    ],
)
def test_periods(query: str, part: str, start: str, stop: str) -> None:
    (found,) = find_periods(query, TODAY)
    assert query[found.start : found.stop] == part
    assert found.period.filter == {"taken_at": {"gte": start, "lt": stop}}


@pytest.mark.parametrize(
    ("query", "months"),
    [
        ("a beach in May", 5),
        ("im Mai", 5),
        ("五月的花", 5),
        ("in the winter", {"in": [12, 1, 2]}),
    ],
)
def test_months_of_any_year(query: str, months: object) -> None:
    (found,) = find_periods(query, TODAY)
    assert found.period.filter == {"taken_month": months}


@pytest.mark.parametrize(
    "query",
    [
        *("may", "march of the penguins", "april", "summer dress", "a fall", "christmas tree"),
        *("1080", "1080p", "IMG_2019", "2019px", "v1.2019", "2019-2021", "20191", "1700"),
        *("2019-02-31", "31.02.2019", "2030", "may 2030", "上周末", "the year"),
    ],
)
def test_what_is_no_date(query: str) -> None:
    assert find_periods(query, TODAY) == []


def test_several_dates_stay_apart() -> None:
    parts = [(one.start, one.stop) for one in find_periods("May 2019 or 2018", TODAY)]
    assert parts == [(0, 8), (12, 16)]
