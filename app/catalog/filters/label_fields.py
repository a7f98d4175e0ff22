"""The fields of labels: `labels.<set>`, and as a number `labels.<set>.<label>`, its probability.

Labels are rows of a table of their own. The type of a set's field has its id, so that statements
begin with a constant: joined by its name, the planner would expect a row or two.
"""

from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Integer,
    Numeric,
    Select,
    Text,
    any_,
    cast,
    exists,
    false,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.catalog.filters.fields import Field
from app.catalog.filters.unknown_names import check_label
from app.database.label_tables import image_labels, label_sets
from app.database.tables import Declared, LabelNames, images


def label_set_of(name: str, declared: Declared) -> LabelNames | None:
    """The set, if the field is one's labels."""
    found = declared.get(name)
    return None if isinstance(found, str) else found


def probability_field(name: str, declared: Declared) -> Field | None:
    """How probable a label is, if that is what the field is; null where it does not hold.

    Raises FilterRejected where the set has no such label.
    """
    prefix, _, rest = name.partition(".")
    set_name, _, label = rest.partition(".")
    label_set = label_set_of(f"{prefix}.{set_name}", declared) if label else None
    if label_set is None:
        return None
    check_label(label, label_set)
    set_id = label_set["id"]
    query = select(cast(image_labels.c.probability, Numeric())).where(
        _is_told(set_id),
        image_labels.c.image_id == images.c.id,
        image_labels.c.label == literal(label, Text()),
    )
    value = query.correlate(images).scalar_subquery()
    return Field(name, "number", value, value)


def has_any(set_id: int, labels: Sequence[str] | None = None) -> ColumnElement[bool]:
    """Whether the set has told a picture any of these labels, or any at all."""
    where = [_is_told(set_id), image_labels.c.image_id == images.c.id]
    if labels is not None:
        where.append(image_labels.c.label == any_(literal(list(labels), ARRAY(Text()))))
    return exists().where(*where).correlate(images) if labels != [] else false()


def label_values(set_id: int) -> Select[tuple[str, int]]:
    """The labels of a set, and how many pictures have each."""
    value = image_labels.c.label.collate("C").label("value")
    query = select(value, func.count().label("pictures"))
    query = query.join_from(images, image_labels, image_labels.c.image_id == images.c.id)
    return query.where(_is_told(set_id))


def _is_told(set_id: int) -> ColumnElement[bool]:
    """On `image_labels`: whether it was told by the set, and by the set as it is now."""
    now = select(label_sets.c.revision).where(label_sets.c.id == literal(set_id, Integer()))
    is_current = image_labels.c.revision == now.scalar_subquery()
    return (image_labels.c.set_id == literal(set_id, Integer())) & is_current
