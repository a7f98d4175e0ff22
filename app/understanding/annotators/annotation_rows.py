"""SQL on which pictures an annotator has looked at, by which version, and with what outcome.

A picture is to be looked at if it was not yet, or has changed since, or the annotator has. Every
function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, and_, delete, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.annotation_tables import collection_annotators, image_annotations
from app.database.tables import PRESENT, images
from app.index.hnsw_search import any_of
from app.understanding.annotators.annotator_rows import TurnedOn

Outcome = Literal["read", "skipped", "failed"]
"""`skipped`: the picture does not look as if there were anything to be found."""

WORDS = {"text": images.c.found_text, "caption": images.c.generated_caption}
"""Where the words that annotators find are words of the picture."""

OF_IMAGE = image_annotations.c.image_id == images.c.id
IS_WAITING = image_annotations.c.state == "waiting"


@dataclass(frozen=True)
class Annotation:
    """What an annotator did with a picture; `version` is null while it is waiting."""

    annotator: str
    state: str
    version: str | None
    reason: str | None
    updated_at: datetime


@dataclass(frozen=True)
class Coverage:
    """Numbers of pictures: those that were looked at, and so on; `waiting` are to be."""

    read: int
    skipped: int
    failed: int
    waiting: int


def mark_new(session: Session, image_ids: Sequence[int]) -> None:
    """Note that pictures are to be looked at, whose files are new; what was found before goes."""
    ours = images.c.id == any_of(image_ids)
    had = update(images).where(ours, or_(*(column.is_not(None) for column in WORDS.values())))
    session.execute(had.values(dict.fromkeys(WORDS.values())))
    session.execute(
        delete(image_annotations).where(image_annotations.c.image_id == any_of(image_ids))
    )
    waiting = select(images.c.id, collection_annotators.c.annotator, literal("waiting"))
    waiting = waiting.join_from(
        images,
        collection_annotators,
        collection_annotators.c.collection_id == images.c.collection_id,
    )
    columns = ["image_id", "annotator", "state"]
    query = upsert(image_annotations).from_select(columns, waiting.where(ours))
    session.execute(query.on_conflict_do_nothing())


def has_waiting(session: Session, turned_on: TurnedOn) -> bool:
    """Whether any picture is waiting since it was added; cheap, by an index of these alone."""
    query = select(images.c.id).join_from(image_annotations, images, OF_IMAGE)
    query = query.where(IS_WAITING, image_annotations.c.annotator == turned_on.annotator)
    query = query.where(images.c.collection_id == turned_on.collection_id, PRESENT)
    return session.execute(query.limit(1)).first() is not None


def to_look_at(
    session: Session, turned_on: TurnedOn, version: str, after: int, limit: int
) -> list[int]:
    """Pictures that are to be looked at, by id, from above `after` on."""
    query = select(images.c.id).where(_is_due(turned_on, version), images.c.id > after)
    return list(session.execute(query.order_by(images.c.id).limit(limit)).scalars())


def count_to_look_at(session: Session, turned_on: TurnedOn, version: str) -> int:
    """How many of them there are."""
    query = select(func.count()).select_from(images).where(_is_due(turned_on, version))
    return session.execute(query).scalar_one()


def is_any_to_look_at(session: Session, turned_on: TurnedOn, version: str) -> bool:
    """Whether there is any."""
    return bool(to_look_at(session, turned_on, version, after=0, limit=1))


def _is_due(turned_on: TurnedOn, version: str) -> ColumnElement[bool]:
    done = exists().where(
        OF_IMAGE,
        image_annotations.c.annotator == turned_on.annotator,
        image_annotations.c.version == version,
        image_annotations.c.content_hash == images.c.content_hash,
    )
    return and_(images.c.collection_id == turned_on.collection_id, PRESENT, ~done)


def lock_unchanged(
    session: Session, turned_on: TurnedOn, image_id: int, content_hash: bytes
) -> bool:
    """Whether the picture is as it was read, and in its collection; it stays so from now on."""
    query = select(images.c.id).where(
        images.c.id == image_id,
        images.c.collection_id == turned_on.collection_id,
        images.c.content_hash == content_hash,
        PRESENT,
    )
    return session.execute(query.with_for_update(key_share=True)).first() is not None


def note(
    session: Session,
    image_id: int,
    annotator: str,
    version: str,
    content_hash: bytes,
    outcome: Outcome,
    reason: str | None = None,
) -> None:
    """Note what an annotator did with a picture."""
    values = {"state": outcome, "version": version, "content_hash": content_hash, "reason": reason}
    changed = {**values, "updated_at": func.now()}
    query = upsert(image_annotations).values(image_id=image_id, annotator=annotator, **changed)
    query = query.on_conflict_do_update(index_elements=["image_id", "annotator"], set_=changed)
    session.execute(query)


def known_by(
    session: Session, turned_on: TurnedOn, image_ids: Sequence[int], versions: str
) -> list[int]:
    """Those of the pictures, as they are now, that it has read by any of `versions` (LIKE)."""
    query = select(images.c.id).join_from(image_annotations, images, OF_IMAGE)
    query = query.where(
        images.c.id == any_of(image_ids),
        image_annotations.c.annotator == turned_on.annotator,
        image_annotations.c.state == "read",
        image_annotations.c.version.like(versions),
        image_annotations.c.content_hash == images.c.content_hash,
    )
    query = query.order_by(images.c.id).with_for_update(key_share=True, of=images, skip_locked=True)
    return list(session.execute(query).scalars())


def adopt(session: Session, turned_on: TurnedOn, image_ids: Sequence[int], version: str) -> None:
    """Note that what it found in pictures is of this version too."""
    query = update(image_annotations).where(
        image_annotations.c.image_id == any_of(image_ids),
        image_annotations.c.annotator == turned_on.annotator,
    )
    session.execute(query.values(version=version))


def retry_failed(session: Session, turned_on: TurnedOn) -> None:
    """Have the pictures looked at again that it failed on."""
    query = update(image_annotations).where(
        image_annotations.c.annotator == turned_on.annotator,
        image_annotations.c.state == "failed",
        image_annotations.c.image_id == images.c.id,
        images.c.collection_id == turned_on.collection_id,
    )
    session.execute(query.values(state="waiting", version=None, content_hash=None, reason=None))


def forget(session: Session, turned_on: TurnedOn) -> None:
    """Forget what it has looked at in the collection; its texts go too."""
    if turned_on.annotator in WORDS:
        words = WORDS[turned_on.annotator]
        had = (images.c.collection_id == turned_on.collection_id, words.is_not(None))
        session.execute(update(images).where(*had).values({words: None}))
    session.execute(
        delete(image_annotations).where(
            image_annotations.c.annotator == turned_on.annotator,
            OF_IMAGE,
            images.c.collection_id == turned_on.collection_id,
        )
    )


def coverage(session: Session, turned_on: TurnedOn, version: str) -> Coverage:
    """How far the collection is looked at."""
    ours = and_(OF_IMAGE, image_annotations.c.annotator == turned_on.annotator)
    is_current = and_(
        image_annotations.c.version == version,
        image_annotations.c.content_hash == images.c.content_hash,
    )
    counts = [
        func.count().filter(is_current, image_annotations.c.state == state)
        for state in ("read", "skipped", "failed")
    ]
    is_due = or_(image_annotations.c.image_id.is_(None), ~func.coalesce(is_current, False))
    query = select(*counts, func.count().filter(is_due))
    query = query.select_from(images.outerjoin(image_annotations, ours))
    query = query.where(images.c.collection_id == turned_on.collection_id, PRESENT)
    return Coverage(*session.execute(query).one())


def of_image(session: Session, image_id: int) -> list[Annotation]:
    """What each annotator that is on did with a picture, by its name."""
    names = Annotation.__dataclass_fields__
    query = select(*(image_annotations.c[name] for name in names))
    query = query.join_from(image_annotations, images, OF_IMAGE)
    query = query.join(
        collection_annotators,
        and_(
            collection_annotators.c.collection_id == images.c.collection_id,
            collection_annotators.c.annotator == image_annotations.c.annotator,
        ),
    )
    query = query.where(images.c.id == image_id).order_by(image_annotations.c.annotator)
    return [Annotation(*row) for row in session.execute(query)]
