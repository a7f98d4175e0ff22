"""A filter in a URL: JSON in the query parameter `filter`."""

import json
from typing import Annotated, Any

from fastapi import Depends, Query

from app.errors import FilterRejected

MAX_FILTER_CHARACTERS = 8_000  # in a URL; a body may hold a longer one
LIKE = 'Send one such as {"width": {"gte": 300}}, URL-encoded.'


def _parsed(
    text: Annotated[
        str | None,
        Query(
            alias="filter",
            max_length=MAX_FILTER_CHARACTERS,
            description="a JSON object that says which pictures count: see docs/search.md",
            examples=['{"width": {"gte": 300}}'],
        ),
    ] = None,
) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FilterRejected(f"filter: it is not JSON ({error}). {LIKE}") from error
    if not isinstance(found, dict):
        raise FilterRejected(f"filter: it is not a JSON object. {LIKE}")
    return found


FilterText = Annotated[dict[str, Any] | None, Depends(_parsed)]
