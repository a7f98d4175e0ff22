"""Finds groups of duplicates: equal bytes, similar looks, or similar content."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import isqrt
from typing import Any, Literal

import numpy as np
from sqlalchemy import ARRAY, BigInteger, ColumnElement, any_, cast, func, select
from sqlalchemy.orm import Session

from app.catalog.duplicates import perceptual_groups
from app.catalog.duplicates.neighbour_pairs import MAX_DISTANCE, NeighbourPairs
from app.catalog.duplicates.union_find import connected_components
from app.database.connections import Sessions
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.errors import QueryRejected
from app.pictures.perceptual_hash import BITS, DUPLICATE_BITS

Kind = Literal["exact", "perceptual", "semantic"]
Groups = list[list[int]]
"""Picture ids, ascending in each group."""

MAX_LIMIT = 100  # groups on a page
DEFAULT_LIMIT = 10
MAX_GROUP_PICTURES = 1_000  # pictures of a group in a response
MAX_PICTURES = 200_000  # lowest ids that are compared by perceptual hash or by vector
MAX_EXACT = 2_000_000  # pictures compared by content hash, in the database
MAX_COMPARISONS = 2_500_000_000  # of two hashes: 15 seconds
READ_BATCH = 20_000  # rows per statement
DEFAULT_DISTANCE = 0.05  # cosine


@dataclass(frozen=True)
class Group:
    """Duplicates by id: the first MAX_GROUP_PICTURES of `size`."""

    size: int
    pictures: list[Image]


@dataclass(frozen=True)
class Page:
    """Groups, largest first, and totals over all groups; `threshold` is None for exact.

    `unhashed` pictures have no perceptual hash. If `truncated`, not all pictures were compared.
    """

    threshold: float | None
    groups: list[Group]
    total_groups: int
    total_pictures: int
    unhashed: int
    truncated: bool
    next_offset: int | None


@dataclass(frozen=True)
class _Groups:
    groups: Groups
    truncated: bool
    unhashed: int = 0


class Duplicates:
    """Finds duplicates in the collection of `index`.

    The last perceptual groups are cached, so that further pages need no new comparison.
    """

    def __init__(self, sessions: Sessions, index: VectorIndex) -> None:
        self._sessions = sessions
        self._index = index
        self._neighbours = NeighbourPairs(sessions, index)
        self._comparing = threading.Lock()
        self._compared: tuple[int, perceptual_groups.Hashes, Groups] | None = None

    def find(self, kind: Kind, threshold: float | None, limit: int, offset: int) -> Page:
        """`limit` groups starting at `offset`, largest first, then by their first id.

        `threshold` is a number of differing bits, 0 to 16 (default 6), or a cosine distance, 0 to
        0.5 (default 0.05). Raises QueryRejected if it does not fit the kind.
        """
        most = check_threshold(kind, threshold)
        found = self._find(kind, most)
        ordered = sorted(found.groups, key=lambda group: (-len(group), group[0]))
        end = offset + limit
        return Page(
            threshold=most,
            groups=self._load(ordered[offset:end]),
            total_groups=len(ordered),
            total_pictures=sum(map(len, ordered)),
            unhashed=found.unhashed,
            truncated=found.truncated,
            next_offset=end if end < len(ordered) else None,
        )

    def _find(self, kind: Kind, most: float | None) -> _Groups:
        if most is None:
            return self._find_exact()
        return (
            self._find_perceptual(int(most)) if kind == "perceptual" else self._find_semantic(most)
        )

    def _find_exact(self) -> _Groups:
        first = select(images.c.id, images.c.content_hash).where(*self._in_collection())
        seen = first.order_by(images.c.id).limit(MAX_EXACT).subquery()
        members = func.array_agg(seen.c.id)
        query = select(members).group_by(seen.c.content_hash).having(func.count() > 1)
        with self._sessions.begin() as session:
            groups = [sorted(ids) for ids in session.execute(query).scalars()]
            return _Groups(groups, self._count(session) > MAX_EXACT)

    def _find_perceptual(self, bits: int) -> _Groups:
        hashed, most = images.c.perceptual_hash, max_comparable(bits)
        rows = list(islice(self._read(hashed, hashed.is_not(None)), most + 1))
        seen = rows[:most]
        found = self._groups(np.array([value for _, value in seen], np.int64), bits)
        with self._sessions.begin() as session:
            unhashed = self._count(session, hashed.is_(None))
        return _Groups(_to_ids([one for one, _ in seen], found), len(rows) > most, unhashed)

    def _groups(self, hashes: perceptual_groups.Hashes, bits: int) -> list[list[int]]:
        """Group by perceptual hash; one thread at a time, since it occupies a whole core."""
        with self._comparing:
            if self._compared is not None:
                known_bits, known, groups = self._compared
                if known_bits == bits and np.array_equal(known, hashes):
                    return groups
            groups = perceptual_groups.group_hashes(hashes, bits)
            self._compared = bits, hashes, groups
            return groups

    def _find_semantic(self, most: float) -> _Groups:
        vectors = select(embeddings.c.image_id).where(embeddings.c.index_id == self._index.id)
        read = self._read(images.c.content_hash, images.c.id.in_(vectors))
        rows = list(islice(read, MAX_PICTURES + 1))
        present = dict(rows[:MAX_PICTURES])
        found = self._neighbours.find(present)
        ids = list(present)
        positions = {image_id: position for position, image_id in enumerate(ids)}
        pairs = (
            (positions[one], positions[other])
            for one, other in chain(found.within(most), _copies(present))
            if one in positions and other in positions
        )
        truncated = len(rows) > len(ids) or len(found.contents) < len(ids)
        return _Groups(_to_ids(ids, connected_components(len(ids), pairs)), truncated)

    def _read(
        self, column: ColumnElement[Any], *where: ColumnElement[bool]
    ) -> Iterator[tuple[int, Any]]:
        """Ids of pictures, ascending, with their value of the column."""
        last, more = 0, True
        while more:
            query = select(images.c.id, column).where(
                *self._in_collection(), *where, images.c.id > last
            )
            with self._sessions.begin() as session:
                rows = session.execute(query.order_by(images.c.id).limit(READ_BATCH)).all()
            yield from ((row[0], row[1]) for row in rows)
            more = len(rows) == READ_BATCH
            last = rows[-1][0] if rows else last

    def _count(self, session: Session, *where: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(images).where(*self._in_collection(), *where)
        return session.execute(query).scalar_one()

    def _in_collection(self) -> tuple[ColumnElement[bool], ...]:
        return images.c.collection_id == self._index.collection_id, PRESENT

    def _load(self, groups: Groups) -> list[Group]:
        """Load the pictures; those deleted in the meantime are left out."""
        listed = [image_id for group in groups for image_id in group[:MAX_GROUP_PICTURES]]
        chosen = any_(cast(listed, ARRAY(BigInteger)))
        query = select(*IMAGE_COLUMNS).where(images.c.id == chosen, PRESENT)
        with self._sessions.begin() as session:
            found = {row["id"]: Image.of(row) for row in session.execute(query).mappings()}
        return [
            Group(len(group), [found[one] for one in group[:MAX_GROUP_PICTURES] if one in found])
            for group in groups
        ]


def check_threshold(kind: Kind, threshold: float | None) -> float | None:
    """The threshold, or the kind's default if it is None; None for exact.

    Raises QueryRejected if it is out of range.
    """
    if kind == "exact":
        if threshold is not None:
            raise QueryRejected("Exact duplicates have the same bytes: leave threshold out.")
        return None
    if kind == "perceptual":
        bits = DUPLICATE_BITS if threshold is None else threshold
        if not 0 <= bits <= perceptual_groups.MAX_THRESHOLD or bits != int(bits):
            raise QueryRejected(
                f"threshold {bits:g}: for perceptual duplicates it is a whole number of differing "
                f"bits, 0 to {perceptual_groups.MAX_THRESHOLD}."
            )
        return int(bits)
    distance = DEFAULT_DISTANCE if threshold is None else threshold
    if not 0 <= distance <= MAX_DISTANCE:
        raise QueryRejected(
            f"threshold {distance:g}: for semantic duplicates it is a cosine distance, 0 to "
            f"{MAX_DISTANCE}."
        )
    return distance


def max_comparable(bits: int) -> int:
    """How many pictures can be compared perceptually within MAX_PICTURES and MAX_COMPARISONS.

    Hashes are compared if one of their bits + 1 bands is equal: more bits, more comparisons.
    """
    bands = bits + 1
    alike = bands / 2 ** (BITS / bands)  # comparisons per pair of pictures
    return min(MAX_PICTURES, isqrt(int(2 * MAX_COMPARISONS / alike)))


def _copies(contents: Mapping[int, bytes]) -> Iterator[tuple[int, int]]:
    """Pair each picture with the first of the same bytes: there may be more than NEIGHBOURS."""
    first: dict[bytes, int] = {}
    for image_id, content in contents.items():
        yield image_id, first.setdefault(content, image_id)


def _to_ids(ids: Sequence[int], groups: list[list[int]]) -> Groups:
    """Groups of positions in `ids` as groups of ids."""
    return [[ids[position] for position in group] for group in groups]
