"""Dates in a query's words, in English, German and Chinese: "May 2019", "last summer", 2019年5月.

A small grammar of patterns rather than a library: see docs/decisions.md. Months and seasons without
a year need a preposition, since "may", "march", "fall" and "summer dress" are no dates. Seasons are
those of the northern hemisphere, by whole months: summer is June to August, and winter 2018 begins
in December 2018.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

FIRST_YEAR = 1826  # of photography
MAX_AGO = 100  # years, months, weeks or days

MONTHS = (
    *("january|jan|januar", "february|feb|februar", "march|mar|märz", "april|apr", "may|mai"),
    *("june|jun|juni", "july|jul|juli", "august|aug", "september|sept|sep"),
    *("october|oct|oktober|okt", "november|nov", "december|dec|dezember|dez"),
)
SEASONS = ("spring|frühling|frühjahr", "summer|sommer", "autumn|fall|herbst", "winter")
SEASON_STARTS = (3, 6, 9, 12)  # months
CHINESE_SEASONS = "春夏秋冬"
CHINESE_MONTHS = ("一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二")
CHRISTMAS_EVE, CHRISTMAS_DAYS = (12, 24), 3


@dataclass(frozen=True)
class Period:
    """The days from `start`, up to but without `stop`; or `months` (1 to 12) of any year."""

    start: date = date.min
    stop: date = date.max
    months: Sequence[int] = ()

    @property
    def filter(self) -> Mapping[str, Any]:
        """The filter that pictures of this time pass, by the clock of the place."""
        if self.months:
            one, *others = self.months
            return {"taken_month": {"in": list(self.months)} if others else one}
        bounds = {"gte": self.start.isoformat(), "lt": self.stop.isoformat()}
        return {"taken_at": bounds}


@dataclass(frozen=True)
class PeriodMatch:
    """A period, and where it is written: `text[start:stop]`, with the words that lead to it."""

    period: Period
    start: int
    stop: int


Rule = Callable[[re.Match[str], date], Period]
"""From what a pattern has found, and today, to a period. Raises ValueError for no date."""


def month(year: int, number: int, months: int = 1) -> Period:
    """So many months from a month on, whose `number` may be beyond 12 or below 1."""
    first, last = ((year * 12 + number - 1 + more) for more in (0, months))
    return Period(date(first // 12, first % 12 + 1, 1), date(last // 12, last % 12 + 1, 1))


def days(first: date, count: int = 1) -> Period:
    """So many days from a day on."""
    return Period(first, first + timedelta(days=count))


def _year(match: re.Match[str], _today: date) -> Period:
    return month(int(match["year"]), 1, 12)


def _decade(match: re.Match[str], _today: date) -> Period:
    return month(int(match["year"]), 1, 120)


def _month(match: re.Match[str], _today: date) -> Period:
    return month(int(match["year"]), _month_number(match["month"]))


def _day(match: re.Match[str], _today: date) -> Period:
    number = _month_number(match["month"])
    return days(date(int(match["year"]), number, int(match["day"])))


def _month_number(text: str) -> int:
    return int(text) if text.isdigit() else _number_of(text, MONTHS)


def _month_of_any_year(match: re.Match[str], _today: date) -> Period:
    return Period(months=(_month_number(match["month"]),))


def _season_of(year: int, position: int) -> Period:
    return month(year, SEASON_STARTS[position], 3)


def _season(match: re.Match[str], _today: date) -> Period:
    return _season_of(int(match["year"]), _number_of(match["season"], SEASONS) - 1)


def _season_of_any_year(match: re.Match[str], _today: date) -> Period:
    first = SEASON_STARTS[_number_of(match["season"], SEASONS) - 1]
    return Period(months=[(first + more - 1) % 12 + 1 for more in range(3)])


def _recent_season(match: re.Match[str], today: date) -> Period:
    """The last one that has ended, or the last one that has begun."""
    position = _number_of(match["season"], SEASONS) - 1
    is_last = match["which"][0].lower() == "l"
    seasons = [_season_of(today.year - ago, position) for ago in range(3)]
    return next(one for one in seasons if (one.stop if is_last else one.start) <= today)


def _christmas_of(year: int) -> Period:
    return days(date(year, *CHRISTMAS_EVE), CHRISTMAS_DAYS)


def _christmas(match: re.Match[str], _today: date) -> Period:
    return _christmas_of(int(match["year"]))


def _last_christmas(_match: re.Match[str], today: date) -> Period:
    known = _christmas_of(today.year)
    return known if known.stop <= today else _christmas_of(today.year - 1)


def _ago(unit: str, count: int, today: date) -> Period:
    """The whole day, week (from Monday), month or year so long ago."""
    if unit == "day":
        return days(today - timedelta(days=count))
    if unit == "week":
        return days(today - timedelta(days=today.weekday() + 7 * count), 7)
    if unit == "month":
        return month(today.year, today.month - count)
    return month(today.year - count, 1, 12)


def _units_ago(match: re.Match[str], today: date) -> Period:
    return _ago(match["unit"].lower(), min(int(match["count"]), MAX_AGO), today)


GERMAN_UNITS = {"woche": "week", "monat": "month", "jahr": "year"}


def _recent_unit(match: re.Match[str], today: date) -> Period:
    unit = match["unit"].lower()
    count = 1 if match["which"][0].lower() == "l" else 0
    return _ago(GERMAN_UNITS.get(unit, unit), count, today)


def _chinese_date(match: re.Match[str], today: date) -> Period:
    said = match["year"]
    year = int(said) if said else today.year - "今去前".index(match["which"])
    if match["season"]:
        return _season_of(year, CHINESE_SEASONS.index(match["season"]))
    if not match["month"]:
        return month(year, 1, 12)
    number = _chinese_month(match["month"])
    return days(date(year, number, int(match["day"]))) if match["day"] else month(year, number)


def _chinese_week_or_month(match: re.Match[str], today: date) -> Period:
    unit = "month" if match[0].endswith("月") else "week"
    return _ago(unit, int(match[0].startswith("上")), today)


def _chinese_day(match: re.Match[str], today: date) -> Period:
    return _ago("day", "今昨前".index(match[0][0]), today)


def _chinese_month_of_any_year(match: re.Match[str], _today: date) -> Period:
    return Period(months=(_chinese_month(match["month"]),))


def _chinese_month(text: str) -> int:
    return int(text) if text.isdigit() else CHINESE_MONTHS.index(text) + 1


def _named_day(match: re.Match[str], today: date) -> Period:
    return _ago("day", int(match["before"] is not None), today)


def _number_of(name: str, names: Sequence[str]) -> int:
    """The position, from 1, of the alternatives that a name is among.

    Compared as PATTERNS found it, since `lower` leaves letters that it takes for others: ı, İ, ſ.
    """
    return next(n for n, one in enumerate(names, 1) if re.fullmatch(one, name, re.IGNORECASE))


YEAR = r"(?P<year>(?:18|19|20)\d\d)"
MONTH = f"(?P<month>{'|'.join(MONTHS)})"
SEASON = f"(?P<season>{'|'.join(SEASONS)})"
LEAD = r"(?:(?:in|from|during|of|on|im|vom|am|aus)\s+(?:the\s+)?(?:year\s+|jahr\s+)?)"
DAY = r"(?P<day>0?[1-9]|[12]\d|3[01])"
NUMBER = r"(?P<month>0?[1-9]|1[0-2])"
LATIN = "0-9A-Za-zÀ-ɏ"
CHINESE_MONTH = rf"(?P<month>1[0-2]|[1-9]|{'|'.join(reversed(CHINESE_MONTHS))})月"

WESTERN: Sequence[tuple[str, Rule]] = (
    (rf"{LEAD}?{YEAR}-{NUMBER}-{DAY}", _day),
    (rf"{LEAD}?{DAY}\.\s?{NUMBER}\.\s?{YEAR}", _day),
    (rf"{LEAD}?{DAY}(?:st|nd|rd|th|\.)?\s+(?:of\s+)?{MONTH}\.?,?\s+{YEAR}", _day),
    (rf"{LEAD}?{MONTH}\.?\s+{DAY}(?:st|nd|rd|th)?,?\s+{YEAR}", _day),
    (rf"{LEAD}?{MONTH}\.?,?\s+(?:of\s+)?{YEAR}", _month),
    (rf"{LEAD}?{YEAR}-(?P<month>0[1-9]|1[0-2])", _month),
    (rf"{LEAD}?{SEASON},?\s+(?:of\s+)?{YEAR}", _season),
    (rf"{LEAD}?(?:christmas|xmas|weihnachten),?\s+(?:of\s+)?{YEAR}", _christmas),
    (r"(?:last|letzte[sn]?)\s+(?:christmas|xmas|weihnachten)", _last_christmas),
    (rf"(?P<which>last|letzte[nr]|this|diese[nr])\s+{SEASON}", _recent_season),
    (
        r"(?P<which>last|this|letzte[nrs]?|diese[nrs]?)\s+"
        r"(?P<unit>week|month|year|woche|monat|jahr)",
        _recent_unit,
    ),
    (r"(?P<count>\d{1,2})\s+(?P<unit>day|week|month|year)s?\s+ago", _units_ago),
    (r"(?:from\s+|von\s+)?(?:(?P<before>yesterday|gestern)|today|heute)", _named_day),
    (rf"{LEAD}?(?:the\s+)?(?P<year>(?:18|19|20)\d0)(?:'|’)?(?:s|er)", _decade),
    (rf"{LEAD}?{YEAR}", _year),
    (rf"(?:in|during|im)\s+(?:the\s+)?{SEASON}", _season_of_any_year),
    (rf"(?:in|during|im)\s+{MONTH}", _month_of_any_year),
)
CHINESE: Sequence[tuple[str, Rule]] = (
    (
        rf"(?:{YEAR}年|(?P<which>[今去前])年)"
        rf"(?:{CHINESE_MONTH}(?:{DAY}[日号])?|的?(?P<season>[春夏秋冬])[天季])?",
        _chinese_date,
    ),
    (r"(?:这个?|本|上个?)(?:月|周(?!末)|星期(?![天日一二三四五六]))", _chinese_week_or_month),
    ("[今昨前]天", _chinese_day),
    (f"{CHINESE_MONTH}份?", _chinese_month_of_any_year),
)

BEFORE, AFTER = rf"(?<![{LATIN}_./-])", rf"(?![{LATIN}_/]|[.-][{LATIN}])"
PATTERNS: Sequence[tuple[re.Pattern[str], Rule]] = (
    *((re.compile(rf"(?<!\d){one}"), rule) for one, rule in CHINESE),
    *((re.compile(f"{BEFORE}{one}{AFTER}", re.IGNORECASE), rule) for one, rule in WESTERN),
)
"""What is found first keeps its words: "May 2019" leaves no 2019."""


def find_periods(text: str, today: date) -> list[PeriodMatch]:
    """The dates of a text that are not after `today`, in the order that they are written."""
    found: list[PeriodMatch] = []
    for pattern, rule in PATTERNS:
        for match in pattern.finditer(text):
            start, stop = match.span()
            if any(start < one.stop and one.start < stop for one in found):
                continue
            period = _period(rule, match, today)
            if period is not None:
                found.append(PeriodMatch(period, start, stop))
    return sorted(found, key=lambda one: one.start)


def _period(rule: Rule, match: re.Match[str], today: date) -> Period | None:
    try:
        period = rule(match, today)
    except ValueError:  # 31 February
        return None
    is_past = period.start.year >= FIRST_YEAR and period.start <= today
    return period if period.months or is_past else None
