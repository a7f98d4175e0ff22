"""Groups hits that are one moment: a burst, a picture with its edited copies, RAW beside JPEG.

What cameras write of bursts goes before what names tell. Some tell neither; then it is pictures of
the same camera in the same second that look alike.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.database.tables import PRESENT, images
from app.index.hnsw_search import any_of
from app.pictures.perceptual_hash import DUPLICATE_BITS
from app.search.grouping.groups import Group
from app.sources.sidecars.companions import original_stem

HASH_MASK = 2**64 - 1  # hashes are stored signed
BURST_NAMES = re.compile(
    r".*BURST(?P<time>\d{14,17})(_COVER)?"  # Pixel and Sony: 00001IMG_00001_BURST20190531203000123
    r"|(?P<start>.+)_BURST\d{1,4}(_COVER)?"  # Nexus, Huawei, LG: IMG_20190531_203000_BURST001
    r"|(?P<second>\d{8}_\d{6})_\d{3}",  # Samsung: 20190531_203000_001
    re.IGNORECASE | re.DOTALL,
)
"""The stems of burst shots; what the shots of a burst have in common is in the groups."""

Key = tuple[object, ...]


@dataclass(frozen=True)
class _Shot:
    """What a row says of how its picture belongs together with others."""

    id: int
    name: str
    content_hash: bytes
    perceptual_hash: int | None
    second: object
    camera: str | None
    burst: str | None

    def keys(self) -> Iterator[Key]:
        """Pictures that have one of these in common belong together."""
        yield "content", self.content_hash
        if self.burst:
            yield "burst", self.burst
        folder, _, name = self.name.rpartition("/")
        stem = original_stem(name)
        found = BURST_NAMES.fullmatch(stem)
        common = found and next(filter(None, found.group("time", "start", "second")))
        if common or folder:  # without a folder, many pictures are called image.jpg
            yield "name", folder, (common or stem).casefold()

    @property
    def moment(self) -> Key | None:
        """The camera and the second; None if the row does not say both."""
        return (self.camera, self.second) if self.camera and self.second else None

    def looks_like(self, other: "_Shot") -> bool:
        if self.perceptual_hash is None or other.perceptual_hash is None:
            return False
        differing = (self.perceptual_hash ^ other.perceptual_hash) & HASH_MASK
        return differing.bit_count() <= DUPLICATE_BITS


def group_series(session: Session, image_ids: Sequence[int]) -> list[Group]:
    """Assign each picture to the first group that has a picture of its series, or start a new one.

    A picture that was deleted in the meantime forms a group of its own.
    """
    shots = _shots(session, image_ids)
    groups: list[Group] = []
    by_key: dict[Key, Group] = {}
    by_moment: dict[Key, list[tuple[_Shot, Group]]] = {}
    for position, image_id in enumerate(image_ids):
        shot = shots.pop(image_id, None)  # of the pages of a picture the first stands for it
        keys = list(shot.keys()) if shot else [("page", image_id)]
        near = by_moment.setdefault(shot.moment, []) if shot and shot.moment else []
        alike = (group for other, group in near if shot and shot.looks_like(other))
        group = next((by_key[key] for key in keys if key in by_key), None) or next(alike, None)
        if group is None:
            group = Group(position, [])
            groups.append(group)
        elif shot:
            group.duplicate_ids.append(image_id)
        for key in (*keys, ("page", image_id)):
            by_key.setdefault(key, group)
        if shot:
            near.append((shot, group))
    return groups


def _shots(session: Session, image_ids: Sequence[int]) -> dict[int, _Shot]:
    query = select(
        images.c.id,
        func.coalesce(images.c.origin, images.c.path),
        images.c.content_hash,
        images.c.perceptual_hash,
        func.date_trunc("second", func.coalesce(images.c.taken_local, images.c.taken_at)),
        images.c.metadata["camera"].astext,
        images.c.metadata["burst"].astext,
    )
    rows = session.execute(query.where(images.c.id == any_of(image_ids), PRESENT))
    return {row[0]: _Shot(*row) for row in rows}
