"""The names that the pictures of a collection bear, and the months that they were taken in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.catalog.filters.fields import wall_clock
from app.catalog.filters.filters import parse
from app.catalog.image_listing import facets
from app.database.tables import PRESENT, Collection, images

NAMING = ("place.city", "place.state", "place.country", "people", "tags")
MAX_NAMES = 5_000  # of each field, the most frequent ones
MAX_DECLARED = 10  # fields that the collection declares and whose names are read
MAX_MONTHS = 5_000  # four centuries


@dataclass(frozen=True)
class KnownValues:
    """Names by field, and the first days of months in which any picture was taken."""

    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    months: frozenset[date] = frozenset()


def read_known_values(session: Session, collection: Collection) -> KnownValues:
    """Read all of them: the whole collection is scanned once for each field."""
    everything = parse({}, collection.fields)
    declared = [name for name, kind in collection.fields.items() if kind in {"text", "tags"}]
    names = {}
    for name in dict.fromkeys((*NAMING, *declared[:MAX_DECLARED])):
        found = facets(session, collection.id, everything, name, collection.fields, MAX_NAMES)
        names[name] = [value for value, _ in found if isinstance(value, str)]
    return KnownValues(names, _months(session, collection.id))


def _months(session: Session, collection_id: int) -> frozenset[date]:
    taken = wall_clock().value
    first = func.date_trunc("month", taken).label("first")
    here = (images.c.collection_id == collection_id, PRESENT, taken.is_not(None))
    query = select(first).where(*here).distinct().limit(MAX_MONTHS)
    return frozenset(one.date() for one in session.execute(query).scalars())
