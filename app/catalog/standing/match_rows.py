"""SQL on matches: the new pictures that standing searches have found, each once.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    RowMapping,
    Select,
    Text,
    UpdateBase,
    any_,
    bindparam,
    cast,
    delete,
    exists,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from app.database.kept_statements import execute_kept
from app.database.standing_tables import standing_matches, standing_searches
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.index.hnsw_search import any_of

MAX_KEPT = 1_000
"""Matches of one standing search that are kept, the newest."""
DAYS_KEPT = 30


@dataclass(frozen=True)
class NewMatch:
    """A new picture that a standing search has found; `similarity` is the cosine.

    `message` is the `webhook-id` of the message that will report it, None where none does.
    """

    search_id: int
    image_id: int
    similarity: float
    confidence: float
    message: str | None = None


@dataclass(frozen=True)
class Report:
    """The message that reports a match, and what became of it."""

    id: str
    status: str
    attempts: int
    reason: str | None


@dataclass(frozen=True)
class Match:
    """A match with its picture; `report` is None where the standing search has no webhook."""

    id: int
    search_id: int
    image: Image
    similarity: float
    confidence: float
    created_at: datetime
    report: Report | None


_OWN = ("id", "search_id", "similarity", "confidence", "created_at")
_REPORT = tuple(Report.__dataclass_fields__)
_COLUMNS = [
    *(standing_matches.c[name].label(f"match_{name}") for name in _OWN),
    *(standing_matches.c[f"webhook_{name}"] for name in _REPORT),
    *IMAGE_COLUMNS,
]


def _array(name: str, kind: type[TypeEngine[Any]]) -> Any:
    return cast(bindparam(name), ARRAY(kind))


def _add() -> UpdateBase:
    """Arrays, since a batch may have more matches than a statement may have parameters."""
    searches = _array("searches", BigInteger)
    names = ("search_id", "image_id", "similarity", "confidence", "webhook_id")
    given = (
        searches,
        _array("pictures", BigInteger),
        _array("similarities", REAL),
        _array("confidences", REAL),
        _array("messages", Text),
    )
    told = func.unnest(*given).table_valued(*names, with_ordinality="place", name="found")
    found = told.render_derived()
    ids = select(standing_searches.c.id).where(standing_searches.c.id == any_(searches))
    locked = ids.order_by(standing_searches.c.id).with_for_update(read=True, key_share=True)
    present = locked.cte("present")
    rows = select(*(found.c[name] for name in names))
    rows = rows.join_from(found, present, found.c.search_id == present.c.id).order_by(found.c.place)
    query = upsert(standing_matches).from_select(names, rows)
    query = query.on_conflict_do_nothing(index_elements=["search_id", "image_id"])
    return query.returning(standing_matches.c.search_id, standing_matches.c.image_id)


_ADD = _add()


def add(session: Session, found: Sequence[NewMatch]) -> list[NewMatch]:
    """Write matches, in their order; returns those that are new.

    Those of standing searches that were deleted are left out; the others cannot be deleted until
    the transaction ends.
    """
    if not found:
        return []
    values = {
        "searches": [one.search_id for one in found],
        "pictures": [one.image_id for one in found],
        "similarities": [one.similarity for one in found],
        "confidences": [one.confidence for one in found],
        "messages": [one.message for one in found],
    }
    added = set(execute_kept(session, _ADD, values).tuples())
    return [one for one in found if (one.search_id, one.image_id) in added]


def newest(session: Session, search_id: int, before: int | None, limit: int) -> list[Match]:
    """Matches with ids below `before`, newest first, of pictures that can be found."""
    query = _select(search_id)
    if before is not None:
        query = query.where(standing_matches.c.id < before)
    query = query.order_by(standing_matches.c.id.desc()).limit(limit)
    return [_match(row) for row in session.execute(query).mappings()]


def following(session: Session, search_id: int, after: int, limit: int) -> list[Match]:
    """The same with ids above `after`, oldest first."""
    query = _select(search_id).where(standing_matches.c.id > after)
    query = query.order_by(standing_matches.c.id).limit(limit)
    return [_match(row) for row in session.execute(query).mappings()]


def last_id(session: Session, search_id: int) -> int:
    """The id of the newest match; 0 where there is none."""
    query = select(func.coalesce(func.max(standing_matches.c.id), 0))
    last: int = session.execute(query.where(standing_matches.c.search_id == search_id)).scalar_one()
    return last


def _select(search_id: int) -> Select[Any]:
    """Those of pictures that are in answers, and still in the collection that was searched."""
    is_here = exists().where(
        standing_searches.c.id == standing_matches.c.search_id,
        standing_searches.c.collection_id == images.c.collection_id,
    )
    query = select(*_COLUMNS).join_from(standing_matches, images)
    return query.where(standing_matches.c.search_id == search_id, PRESENT, is_here)


def _match(row: RowMapping) -> Match:
    own: Mapping[str, Any] = {name: row[f"match_{name}"] for name in _OWN}
    told = {name: row[f"webhook_{name}"] for name in _REPORT}
    report = None if told["id"] is None else Report(**told)
    return Match(**own, image=Image.of(row), report=report)


def trim(session: Session, search_ids: Collection[int] | None = None) -> None:
    """Delete all but the newest MAX_KEPT matches of each of these standing searches, or of all."""
    newest_first = standing_matches.c.id.desc()
    place = func.row_number().over(partition_by=standing_matches.c.search_id, order_by=newest_first)
    ranked = select(standing_matches.c.id, place.label("place"))
    if search_ids is not None:
        ranked = ranked.where(standing_matches.c.search_id == any_of(list(search_ids)))
    found = ranked.subquery()
    beyond = select(found.c.id).where(found.c.place > MAX_KEPT)
    session.execute(delete(standing_matches).where(standing_matches.c.id.in_(beyond)))


def purge(session: Session) -> None:
    """Delete matches that are older than DAYS_KEPT days."""
    old = func.now() - text(f"interval '{DAYS_KEPT} days'")
    session.execute(delete(standing_matches).where(standing_matches.c.created_at < old))
