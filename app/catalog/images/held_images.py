"""SQL on pictures that a gate holds: stored, but in no answer until somebody decides on them.

They have a tombstone that never expires, so that whatever leaves out deleted pictures leaves them
out too. Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.catalog import skipped_files
from app.catalog.images.image_deletion import skip_files
from app.catalog.images.image_rows import lock_content
from app.database.label_tables import reviews
from app.database.tables import HELD, IMAGE_COLUMNS, PRESENT, Image, images
from app.errors import ImageNotFound


@dataclass(frozen=True)
class Reason:
    """Why a picture is held: its label by a set, and how probable that is, 0 to 1."""

    set_name: str
    label: str
    probability: float


@dataclass(frozen=True)
class HeldImage:
    """A picture that waits for a decision, since `held_at`."""

    image: Image
    reason: Reason
    held_at: datetime

    @property
    def id(self) -> int:
        """The picture's id."""
        return self.image.id


NEVER: ColumnElement[datetime] = literal_column("'infinity'::timestamptz")


def hold(session: Session, reasons: Mapping[int, Reason]) -> list[int]:
    """Hide pictures; returns the ids of those that were there.

    Files in folders and buckets are recorded, so that no listing adds them meanwhile.
    """
    if not reasons:
        return []
    query = update(images).where(images.c.id.in_(reasons), PRESENT).values(removed_at=NEVER)
    rows = session.execute(query.returning(*IMAGE_COLUMNS, images.c.etag)).mappings().all()
    skip_files(session, rows)
    held = sorted(row["id"] for row in rows)
    if held:
        forget(session, held)
        session.execute(upsert(reviews), [{"image_id": n, **vars(reasons[n])} for n in held])
    return held


def forget(session: Session, image_ids: Sequence[int]) -> None:
    """Forget what was decided on pictures, whose content is another one now."""
    if image_ids:
        session.execute(delete(reviews).where(reviews.c.image_id.in_(image_ids)))


def want_external_id(session: Session, image_id: int, external_id: str) -> None:
    """Remember the external id that a held picture gets once it is approved."""
    query = update(reviews).where(reviews.c.image_id == image_id)
    session.execute(query.values(external_id=external_id))


def listed(session: Session, collection_id: int, after: int, limit: int) -> list[HeldImage]:
    """A collection's held pictures, by id, from above `after` on."""
    columns = (reviews.c.set_name, reviews.c.label, reviews.c.probability)
    query = select(*IMAGE_COLUMNS, *columns, reviews.c.created_at.label("held_at"))
    query = query.join(reviews, reviews.c.image_id == images.c.id)
    query = query.where(_is_held(collection_id), images.c.id > after)
    rows = session.execute(query.order_by(images.c.id).limit(limit)).mappings()
    return [
        HeldImage(
            Image.of(row),
            Reason(row["set_name"], row["label"], row["probability"]),
            row["held_at"],
        )
        for row in rows
    ]


def count(session: Session, collection_id: int) -> int:
    """How many there are."""
    query = select(func.count()).select_from(images).where(_is_held(collection_id))
    return session.execute(query).scalar_one()


def get(session: Session, collection_id: int, image_id: int) -> Image:
    """A held picture. Raises ImageNotFound."""
    query = select(*IMAGE_COLUMNS).where(_is_held(collection_id), images.c.id == image_id)
    row = session.execute(query).mappings().one_or_none()
    if row is None:
        raise ImageNotFound(f"No picture {image_id} of this collection waits for review.")
    return Image.of(row)


def approve(
    session: Session, collection_id: int, image_ids: Sequence[int]
) -> dict[int, str | None]:
    """Show held pictures; returns the external id that each is to get, by the pictures' ids.

    Their files are skipped no more, wherever they have been moved meanwhile.
    """
    query = update(images).where(images.c.id.in_(image_ids), _is_held(collection_id))
    query = query.values(removed_at=None).returning(images.c.id, images.c.content_hash)
    shown = {row.id: row.content_hash for row in session.execute(query)}
    skipped_files.forget_deleted(session, collection_id, list(shown.values()))
    decided = update(reviews).where(reviews.c.image_id.in_(shown)).values(approved_at=func.now())
    rows = session.execute(decided.returning(reviews.c.image_id, reviews.c.external_id))
    return {row.image_id: row.external_id for row in rows}


def reject(session: Session, collection_id: int, image_ids: Sequence[int]) -> list[Image]:
    """Delete held pictures; returns their former rows. Their files stay recorded as skipped."""
    chosen = and_(images.c.id.in_(image_ids), _is_held(collection_id))
    lock_content(session, *session.execute(select(images.c.content_hash).where(chosen)).scalars())
    query = delete(images).where(chosen).returning(*IMAGE_COLUMNS)
    return [Image.of(row) for row in session.execute(query).mappings()]


def _is_held(collection_id: int) -> ColumnElement[bool]:
    return and_(images.c.collection_id == collection_id, HELD)
