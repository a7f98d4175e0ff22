"""Groups hits: equal bytes, near-equal perceptual hashes, or series."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.database.tables import PRESENT, images
from app.index.hnsw_search import any_of
from app.pictures.perceptual_hash import DUPLICATE_BITS
from app.search.grouping.groups import Group
from app.search.grouping.series_grouping import group_series
from app.search.search_request import GroupBy


def group_hits(session: Session, image_ids: Sequence[int], group_by: GroupBy) -> list[Group]:
    """Group hits as requested."""
    if group_by == "series":
        return group_series(session, image_ids)
    return group_duplicates(session, image_ids, copies_only=group_by == "copies")


def group_duplicates(
    session: Session, image_ids: Sequence[int], *, copies_only: bool = False
) -> list[Group]:
    """Assign each picture to the first group whose leader it duplicates, or start a new group.

    `copies_only` groups equal bytes, and leaves pictures that merely look alike apart.

    A picture that was deleted in the meantime forms a group of its own.
    """
    query = select(images.c.id, images.c.content_hash, images.c.perceptual_hash)
    rows = session.execute(query.where(images.c.id == any_of(image_ids), PRESENT))
    known = {
        image_id: (content_hash, perceptual_hash)
        for image_id, content_hash, perceptual_hash in rows
    }
    groups: list[Group] = []
    by_content: dict[bytes, Group] = {}
    leader_hashes = np.zeros(len(image_ids), np.uint64)  # of the leaders that have one
    hashed: list[Group] = []
    seen: set[int] = set()  # of a picture's pages, the first stands for it
    for position, image_id in enumerate(image_ids):
        content_hash, perceptual_hash = known.get(image_id, (b"", None))
        if copies_only:
            perceptual_hash = None
        match = by_content.get(content_hash)
        if match is None and perceptual_hash is not None:
            bits = np.uint64(perceptual_hash & (2**64 - 1))
            near = np.bitwise_count(leader_hashes[: len(hashed)] ^ bits) <= DUPLICATE_BITS
            match = hashed[int(near.argmax())] if near.any() else None
        if match is None:
            match = Group(position, [])
            groups.append(match)
            if perceptual_hash is not None:
                leader_hashes[len(hashed)] = bits
                hashed.append(match)
        elif image_id not in seen:
            match.duplicate_ids.append(image_id)
        seen.add(image_id)
        if content_hash:
            by_content.setdefault(content_hash, match)
    return groups
