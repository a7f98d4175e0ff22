"""Which new pictures pass the filters of the standing searches that have found them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from sqlalchemy import ColumnElement, select, true
from sqlalchemy.orm import Session

from app.catalog.filters.filters import parse
from app.catalog.standing.match_rows import NewMatch
from app.catalog.standing.standing_search_rows import StandingSearch
from app.database.tables import Collection, images
from app.errors import FilterRejected
from app.index.hnsw_search import any_of

CONDITIONS_AT_ONCE = 100  # columns of one statement

Conditions = list[tuple[int, ColumnElement[bool]]]
"""The ids of standing searches with the conditions of their filters."""


def passing_filters(
    session: Session,
    collection: Collection,
    searches: Mapping[int, StandingSearch],
    found: Sequence[NewMatch],
) -> list[NewMatch]:
    """Those of `found` whose pictures pass the filter of their search, in the same order.

    One statement asks for many filters at once. One that the collection's fields do not allow any
    more lets nothing pass.
    """
    filtered = [one for one in found if searches[one.search_id].filter]
    conditions = list(_conditions(collection, searches, filtered))
    image_ids = sorted({one.image_id for one in filtered})
    passing: set[tuple[int, int]] = set()
    for start in range(0, len(conditions), CONDITIONS_AT_ONCE):
        some = conditions[start : start + CONDITIONS_AT_ONCE]
        passing.update(_passing(session, some, image_ids))
    return [
        one
        for one in found
        if not searches[one.search_id].filter or (one.search_id, one.image_id) in passing
    ]


def _passing(
    session: Session, conditions: Conditions, image_ids: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """The ids of the searches and of the pictures that pass their filters."""
    columns = [
        one.is_(true()).label(f"passes_{place}") for place, (_, one) in enumerate(conditions)
    ]
    query = select(images.c.id, *columns).where(images.c.id == any_of(image_ids))
    for image_id, *passes in session.execute(query):
        for (search_id, _), does in zip(conditions, passes, strict=True):
            if does:
                yield search_id, image_id


def _conditions(
    collection: Collection, searches: Mapping[int, StandingSearch], found: Sequence[NewMatch]
) -> Iterator[tuple[int, ColumnElement[bool]]]:
    for search_id in dict.fromkeys(one.search_id for one in found):
        with suppress(FilterRejected):  # whoever reads the standing search is told why
            yield search_id, parse(searches[search_id].filter, collection.filterable).condition
