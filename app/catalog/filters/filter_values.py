"""The values in a filter: parsed from JSON, and in the forms that their letters may be written."""

import math
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from app.catalog.filters.field_names import UNSTORABLE, display
from app.catalog.filters.fields import WALL_CLOCK
from app.errors import FilterRejected

MAX_CHARACTERS = 1_000  # in one string
MAX_NUMBER = 10**300  # absolute value


def letter_forms(text: str) -> list[str]:
    """The text as it is, composed (NFC) and decomposed (NFD) as in names of files from macOS."""
    normal = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    return list(dict.fromkeys((text, *normal)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FilterRejected(f"{display(value)} is not a text.")
    if len(value) > MAX_CHARACTERS:
        raise FilterRejected(f"send a text of at most {MAX_CHARACTERS:,} characters.")
    if UNSTORABLE.search(value):
        raise FilterRejected(f"{display(value)} has a NUL or half of a surrogate pair.")
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FilterRejected(f"{display(value)} is not a number.")
    if isinstance(value, float) and not math.isfinite(value):
        raise FilterRejected(f"{display(value)} is not a finite number.")
    number = Decimal(value if isinstance(value, int) else repr(value))  # 0.1 means 0.1
    if not -MAX_NUMBER <= number <= MAX_NUMBER:
        raise FilterRejected("send a number between -10^300 and 10^300.")
    return number


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise FilterRejected(f"{display(value)} is neither true nor false.")
    return value


def _date(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise FilterRejected(
            f"{display(value)} is not a date in the years 1 to 9999 in ISO 8601, "
            "such as 2024-05-31 or 2024-05-31T12:00:00Z."
        ) from error


def _wall_clock(value: object) -> datetime:
    return _date(value).replace(tzinfo=None)


def has_time_zone(date: object) -> bool:
    """Whether it says its time zone: 2024-05-31T12:00:00Z does, 2024-05-31 does not.

    Raises FilterRejected unless it is a date.
    """
    _date(date)
    return datetime.fromisoformat(_text(date)).tzinfo is not None


VALUE_PARSERS: Mapping[str, Callable[[object], Any]] = {
    "text": _text,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    WALL_CLOCK: _wall_clock,
    "tags": _text,
}
"""Parses a JSON value by type of field."""
