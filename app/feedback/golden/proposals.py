"""SQL that proposes golden queries from what is known: ratings, captions, tags. It stores nothing.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, case, func, literal, select, true
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import Session

from app.database.feedback_tables import feedback, feedback_queries
from app.database.tables import images, vector_indexes
from app.feedback.carried_ratings import text_digest
from app.feedback.golden.golden_rows import present_in
from app.feedback.golden.judged_queries import MAX_JUDGED, MAX_TEXT_CHARACTERS, Judged, Origin

LIKED = 8  # a mean rating from which on a picture should come
DISLIKED = 3  # and up to which it should not

Source = Literal["ratings", "captions", "tags"]


def propose(session: Session, collection_id: int, source: Source, limit: int) -> list[Judged]:
    """At most `limit` queries, each with at least one picture that should come."""
    return SOURCES[source](session, collection_id, limit)


def from_ratings(session: Session, collection_id: int, limit: int) -> list[Judged]:
    """Rated texts, those with most pictures first; queries by pictures have left no picture."""
    mean = func.avg(feedback.c.rating)
    query = (
        select(feedback_queries.c.query, feedback_queries.c.digest, images.c.id, mean.label("mean"))
        .join(feedback, feedback.c.query_id == feedback_queries.c.id)
        .join(vector_indexes, vector_indexes.c.id == feedback_queries.c.index_id)
        .join(images, images.c.id == feedback.c.image_id)
        .where(vector_indexes.c.collection_id == collection_id, present_in(collection_id))
        .group_by(feedback_queries.c.query, feedback_queries.c.digest, images.c.id)
        .having((mean >= LIKED) | (mean <= DISLIKED))
        .order_by(images.c.id)
    )
    found: dict[str, tuple[list[int], list[int]]] = {}
    for text, digest, image_id, rating in session.execute(query):
        if text_digest(text) == digest:
            liked, disliked = found.setdefault(text, ([], []))
            (liked if rating >= LIKED else disliked).append(image_id)
    proposed = [
        Judged(text, None, liked[:MAX_JUDGED], disliked[: MAX_JUDGED - len(liked)], "ratings")
        for text, (liked, disliked) in found.items()
        if liked
    ]
    proposed.sort(key=lambda one: -len(one.relevant) - len(one.irrelevant))
    return proposed[:limit]


def from_captions(session: Session, collection_id: int, limit: int) -> list[Judged]:
    """A random choice of captions, always the same, each with the pictures that have it."""
    query = select(images.c.caption, _ids()).where(present_in(collection_id))
    return _grouped(session, query, images.c.caption, "captions", limit)


def from_tags(session: Session, collection_id: int, limit: int) -> list[Judged]:
    """The same with tags; those of more than MAX_JUDGED pictures would be too easy to find."""
    stored = images.c.metadata["tags"]
    listed = case((func.jsonb_typeof(stored) == "array", stored), else_=literal([], JSONB))
    tag = func.jsonb_array_elements_text(listed).table_valued("value").render_derived(name="tag")
    query = select(tag.c.value, _ids()).join_from(images, tag, true())
    return _grouped(session, query.where(present_in(collection_id)), tag.c.value, "tags", limit)


def _ids() -> ColumnElement[Any]:
    return func.array_agg(aggregate_order_by(images.c.id.distinct(), images.c.id))


def _grouped(
    session: Session, query: Select[Any], text: ColumnElement[Any], origin: Origin, limit: int
) -> list[Judged]:
    query = query.where(func.btrim(text) != "", func.length(text) <= MAX_TEXT_CHARACTERS)
    query = query.group_by(text).having(func.count(images.c.id.distinct()) <= MAX_JUDGED)
    rows = session.execute(query.order_by(func.md5(text)).limit(limit))
    return [Judged(words, None, ids, [], origin) for words, ids in rows]


SOURCES: Mapping[Source, Callable[[Session, int, int], list[Judged]]] = {
    "ratings": from_ratings,
    "captions": from_captions,
    "tags": from_tags,
}
