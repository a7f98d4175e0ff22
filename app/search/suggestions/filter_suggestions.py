"""Parts of a query that could be filters: offered with the answer, never applied unseen."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Any

from app.database.tables import Collection
from app.search.suggestions.known_names import Known, KnownNames
from app.search.suggestions.periods import Period, find_periods, month

MAX_READ_CHARACTERS = 300  # of a query's text
MAX_SUGGESTIONS = 5
LITERAL = re.compile(r'"[^"]*"?|(?<!\S)-\S+')  # quoted, or excluded: meant as words
LEAD = re.compile(r"(?:^|(?<=\s))(?:in|at|from|near|with|bei|aus|mit|von)\s+$|在$", re.IGNORECASE)
REST_ENDS = " ,;，、"


@dataclass(frozen=True)
class SuggestedFilter:
    """A part of the query's `text`, the filter it stands for, and the `query` without it."""

    text: str
    filter: Mapping[str, Any]
    query: str


@dataclass(frozen=True)
class FilterSuggestions:
    """Suggests filters for one collection; dates like "last summer" count from `today`."""

    known_names: KnownNames
    today: Callable[[], date]

    @classmethod
    def in_zone(cls, zone: tzinfo, known_names: KnownNames) -> "FilterSuggestions":
        """With the days of a time zone."""
        return cls(known_names, lambda: datetime.now(zone).date())

    def suggest(self, collection: Collection, text: str) -> list[SuggestedFilter]:
        """What the text names that pictures of the collection have. Queries nothing."""
        return suggest(text, self.known_names.of(collection), self.today())


def suggest(text: str, known: Known, today: date) -> list[SuggestedFilter]:
    """Dates in months that pictures were taken in, and names that they bear, in their order."""
    read = LITERAL.sub(lambda match: "\0" * len(match[0]), text[:MAX_READ_CHARACTERS])
    found = [
        (dated.start, dated.stop, dated.period.filter)
        for dated in find_periods(read, today)
        if _has_pictures(dated.period, known)
    ]
    for named in known.find(read):
        if not any(named.start < stop and start < named.stop for start, stop, _ in found):
            lead = LEAD.search(read, 0, named.start)
            found.append((lead.start() if lead else named.start, named.stop, named.filter))
    return [
        SuggestedFilter(text[start:stop], clause, _without(text, start, stop))
        for start, stop, clause in sorted(found, key=lambda one: one[0])[:MAX_SUGGESTIONS]
    ]


def _has_pictures(period: Period, known: Known) -> bool:
    """Whether any picture was taken in one of its months."""
    if period.months:
        return any(first.month in period.months for first in known.months)
    last = period.stop - timedelta(days=1)
    start = month(period.start.year, period.start.month).start
    return any(start <= first <= last for first in known.months)


def _without(text: str, start: int, stop: int) -> str:
    """The text without a part of it, and without what the part leaves hanging."""
    rest = re.sub(r"\s+([,;，、]?)\s*", r"\1 ", f"{text[:start]} {text[stop:]}")
    return rest.strip(REST_ENDS).removeprefix("的")
