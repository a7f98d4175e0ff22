"""The names that the pictures of a collection bear, and the months that they were taken in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy.orm import Session

from app.catalog.filters.filters import parse
from app.catalog.images.image_listing import facets
from app.catalog.months import count_months
from app.database.tables import Collection

NAMING = ("place.city", "place.state", "place.country", "people", "tags")
MAX_NAMES = 5_000  # of each field, the most frequent ones
MAX_DECLARED = 10  # fields that the collection declares and whose names are read


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
    months = count_months(session, collection.id, everything)
    return KnownValues(names, frozenset(date.fromisoformat(f"{one.month}-01") for one in months))
