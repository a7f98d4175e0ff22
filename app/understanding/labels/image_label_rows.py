"""SQL on the labels of pictures.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Text,
    and_,
    any_,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import REAL
from sqlalchemy.orm import Session

from app.database.label_tables import image_labels, label_sets, reviews
from app.database.tables import PRESENT, VectorIndex, embeddings, images
from app.index.categories.category_copies import follow_labels
from app.index.hnsw_search import any_of
from app.understanding.labels.label_set_rows import StoredLabelSet
from app.understanding.labels.scoring import Held


@dataclass(frozen=True)
class ImageLabel:
    """A label of a picture; `set_name` is its set's name."""

    set_name: str
    label: str
    probability: float


@dataclass(frozen=True)
class StoppedImage:
    """A picture with a label that a gate stops."""

    image_id: int
    label: str
    probability: float


CURRENT = and_(
    image_labels.c.set_id == label_sets.c.id, image_labels.c.revision == label_sets.c.revision
)
"""SQL condition on both tables: the label was told by the set as it is now."""


def of_image(session: Session, image_id: int) -> list[ImageLabel]:
    """The labels of a picture by the sets of its collection, each set's most probable first."""
    query = (
        select(label_sets.c.name, image_labels.c.label, image_labels.c.probability)
        .join_from(image_labels, label_sets, CURRENT)
        .join(images, images.c.id == image_labels.c.image_id)
        .where(images.c.id == image_id, images.c.collection_id == label_sets.c.collection_id)
        .order_by(label_sets.c.name, image_labels.c.probability.desc(), image_labels.c.label)
    )
    return [ImageLabel(*row) for row in session.execute(query)]


def replace(session: Session, stored: StoredLabelSet, image_ids: Sequence[int], held: Held) -> None:
    """Write what a set tells of pictures; `held.pictures` are positions in `image_ids`."""
    session.execute(
        delete(image_labels).where(
            image_labels.c.set_id == stored.id, image_labels.c.image_id == any_of(image_ids)
        )
    )
    ids = [image_ids[n] for n in held.pictures]
    columns = func.unnest(
        literal(ids, ARRAY(BigInteger())),
        literal(held.labels, ARRAY(Text())),
        literal(held.probabilities.tolist(), ARRAY(REAL())),
    )
    rows = columns.table_valued("image_id", "label", "probability").render_derived(name="held")
    names = ["set_id", "revision", "image_id", "label", "probability"]
    told = select(literal(stored.id), literal(stored.revision), *rows.c)
    session.execute(insert(image_labels).from_select(names, told))
    follow_labels(session, stored.id, image_ids)


def forget(session: Session, image_ids: Sequence[int]) -> None:
    """Delete all labels of pictures whose vectors have changed."""
    session.execute(delete(image_labels).where(image_labels.c.image_id == any_of(image_ids)))


def unlabelled(
    session: Session, stored: StoredLabelSet, index: VectorIndex, after: int, limit: int
) -> list[int]:
    """Pictures with a vector that the set has not labelled, by id, from above `after` on."""
    query = select(embeddings.c.image_id).join(images, images.c.id == embeddings.c.image_id)
    query = query.where(_is_unlabelled(stored, index), embeddings.c.image_id > after)
    return list(session.execute(query.order_by(embeddings.c.image_id).limit(limit)).scalars())


def lock_unchanging(session: Session, image_ids: Sequence[int]) -> list[int]:
    """Those of the pictures that nobody is changing; they stay so until the transaction ends."""
    query = select(images.c.id).where(images.c.id == any_of(image_ids), PRESENT)
    query = query.order_by(images.c.id).with_for_update(read=True, skip_locked=True)
    return list(session.execute(query).scalars())


def count_unlabelled(session: Session, stored: StoredLabelSet, index: VectorIndex) -> int:
    """How many of them there are."""
    query = select(func.count()).select_from(embeddings)
    query = query.join(images, images.c.id == embeddings.c.image_id)
    return session.execute(query.where(_is_unlabelled(stored, index))).scalar_one()


def has_unlabelled(session: Session, stored: StoredLabelSet, index: VectorIndex) -> bool:
    """Whether there is any."""
    query = select(embeddings.c.image_id).join(images, images.c.id == embeddings.c.image_id)
    return session.execute(query.where(_is_unlabelled(stored, index)).limit(1)).first() is not None


def stopped(session: Session, stored: StoredLabelSet, limit: int) -> list[StoppedImage]:
    """The first `limit` pictures with a label that the set's gate stops, most probable label each.

    Without those that somebody has approved.
    """
    approved = exists().where(
        reviews.c.image_id == image_labels.c.image_id, reviews.c.approved_at.is_not(None)
    )
    query = select(image_labels.c.image_id, image_labels.c.label, image_labels.c.probability)
    query = query.distinct(image_labels.c.image_id)
    query = query.join(images, images.c.id == image_labels.c.image_id).where(
        image_labels.c.set_id == stored.id,
        image_labels.c.revision == stored.revision,
        image_labels.c.label == any_(literal(list(stored.labels.stopping), ARRAY(Text()))),
        images.c.collection_id == stored.collection_id,
        PRESENT,
        ~approved,
    )
    query = query.order_by(image_labels.c.image_id, image_labels.c.probability.desc()).limit(limit)
    return [StoppedImage(*row) for row in session.execute(query)]


def _is_unlabelled(stored: StoredLabelSet, index: VectorIndex) -> ColumnElement[bool]:
    labelled = exists().where(
        image_labels.c.image_id == embeddings.c.image_id,
        image_labels.c.set_id == stored.id,
        image_labels.c.revision == stored.revision,
    )
    return and_(embeddings.c.index_id == index.id, embeddings.c.region == 0, PRESENT, ~labelled)


def count_labelled(session: Session, stored: StoredLabelSet) -> int:
    """How many pictures the set has labelled as it is now."""
    query = select(func.count(image_labels.c.image_id.distinct())).join_from(
        image_labels, images, images.c.id == image_labels.c.image_id
    )
    ours = (
        image_labels.c.set_id == stored.id,
        image_labels.c.revision == stored.revision,
        images.c.collection_id == stored.collection_id,
    )
    return session.execute(query.where(*ours, PRESENT)).scalar_one()
