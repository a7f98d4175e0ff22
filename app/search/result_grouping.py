"""Hits that are the same picture: the same bytes, or the same look."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database.tables import PRESENT, images
from app.index.hnsw_search import any_of
from app.pictures.perceptual_hash import DUPLICATE_BITS


@dataclass(frozen=True)
class Group:
    """The place of its first picture among the hits, and the ids of the others like that one."""

    place: int
    others: list[int]


def group(session: Session, image_ids: Sequence[int]) -> list[Group]:
    """Each picture joins the first before it that it is a duplicate of, or begins a group.

    One that was deleted meanwhile is alone in its group.
    """
    query = select(images.c.id, images.c.content_hash, images.c.perceptual_hash)
    rows = session.execute(query.where(images.c.id == any_of(image_ids), PRESENT))
    known = {image_id: (content_hash, looks) for image_id, content_hash, looks in rows}
    groups: list[Group] = []
    by_content: dict[bytes, Group] = {}
    hashes = np.zeros(len(image_ids), np.uint64)  # of the groups whose first has one
    hashed: list[Group] = []
    for place, image_id in enumerate(image_ids):
        content_hash, looks = known.get(image_id, (b"", None))
        mine = by_content.get(content_hash)
        if mine is None and looks is not None:
            bits = np.uint64(looks & (2**64 - 1))
            near = np.bitwise_count(hashes[: len(hashed)] ^ bits) <= DUPLICATE_BITS
            mine = hashed[int(near.argmax())] if near.any() else None
        if mine is None:
            mine = Group(place, [])
            groups.append(mine)
            if looks is not None:
                hashes[len(hashed)] = bits
                hashed.append(mine)
        else:
            mine.others.append(image_id)
        if content_hash:
            by_content.setdefault(content_hash, mine)
    return groups
