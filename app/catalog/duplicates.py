"""Groups of pictures that are the same, look the same, or show the same."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import isqrt
from typing import Any, Literal

import numpy as np
from sqlalchemy import ARRAY, BigInteger, ColumnElement, any_, cast, func, select
from sqlalchemy.orm import Session

from app.catalog import perceptual_groups
from app.catalog.neighbour_pairs import MAX_DISTANCE, NeighbourPairs
from app.catalog.union_find import connected
from app.database.connections import Sessions
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, VectorIndex, embeddings, images
from app.errors import QueryRejected
from app.pictures.perceptual_hash import BITS, DUPLICATE_BITS

Kind = Literal["exact", "perceptual", "semantic"]
Groups = list[list[int]]
"""Ids of pictures, ascending in each group."""

MAX_LIMIT = 100  # groups on a page
DEFAULT_LIMIT = 20
MAX_LISTED = 1_000  # pictures of a group that are shown
MAX_PICTURES = 200_000  # compared by their looks or meaning: the first ones, by id
MAX_EXACT = 2_000_000  # compared by their bytes, which the database does
COMPARISONS = 2_500_000_000  # of two hashes: a quarter of a minute
READ_AT_ONCE = 20_000  # rows in one statement: far below a second
NEAR = 0.05  # cosine distance


@dataclass(frozen=True)
class Group:
    """Pictures alike, by id: the first MAX_LISTED of `size`."""

    size: int
    pictures: list[Image]


@dataclass(frozen=True)
class Page:
    """Groups, the largest first, and what all of them come to; `threshold` is None for exact.

    `unhashed` pictures have no perceptual hash; where `truncated`, others were not compared yet.
    """

    threshold: float | None
    groups: list[Group]
    total_groups: int
    total_pictures: int
    unhashed: int
    truncated: bool
    next_offset: int | None


@dataclass(frozen=True)
class _Found:
    groups: Groups
    truncated: bool
    unhashed: int = 0


class Duplicates:
    """Finds pictures alike in the collection of `index`.

    The last groups by looks are kept: the pages after the first need no new comparison.
    """

    def __init__(self, sessions: Sessions, index: VectorIndex) -> None:
        self._sessions = sessions
        self._index = index
        self._links = NeighbourPairs(sessions, index)
        self._comparing = threading.Lock()
        self._compared: tuple[int, perceptual_groups.Hashes, Groups] | None = None

    def find(self, kind: Kind, threshold: float | None, limit: int, offset: int) -> Page:
        """`limit` groups from `offset` on, the largest first, then by their first id.

        `threshold` is in differing bits, 0 to 16, or a cosine distance, 0 to 0.5; None is 6 bits
        or 0.05. Raises QueryRejected where it does not fit the kind.
        """
        most = check_threshold(kind, threshold)
        found = self._find(kind, most)
        ordered = sorted(found.groups, key=lambda group: (-len(group), group[0]))
        end = offset + limit
        return Page(
            threshold=most,
            groups=self._shown(ordered[offset:end]),
            total_groups=len(ordered),
            total_pictures=sum(map(len, ordered)),
            unhashed=found.unhashed,
            truncated=found.truncated,
            next_offset=end if end < len(ordered) else None,
        )

    def _find(self, kind: Kind, most: float | None) -> _Found:
        if most is None:
            return self._same_bytes()
        return self._same_looks(int(most)) if kind == "perceptual" else self._same_meaning(most)

    def _same_bytes(self) -> _Found:
        first = select(images.c.id, images.c.content_hash).where(*self._here())
        seen = first.order_by(images.c.id).limit(MAX_EXACT).subquery()
        members = func.array_agg(seen.c.id)
        query = select(members).group_by(seen.c.content_hash).having(func.count() > 1)
        with self._sessions.begin() as session:
            groups = [sorted(ids) for ids in session.execute(query).scalars()]
            return _Found(groups, self._count(session) > MAX_EXACT)

    def _same_looks(self, bits: int) -> _Found:
        hashed, most = images.c.perceptual_hash, comparable(bits)
        rows = list(islice(self._read(hashed, hashed.is_not(None)), most + 1))
        seen = rows[:most]
        found = self._groups(np.array([value for _, value in seen], np.int64), bits)
        with self._sessions.begin() as session:
            unhashed = self._count(session, hashed.is_(None))
        return _Found(_named([one for one, _ in seen], found), len(rows) > most, unhashed)

    def _groups(self, hashes: perceptual_groups.Hashes, bits: int) -> list[list[int]]:
        """As `perceptual_groups.groups`; one thread at a time, since it may take all of a core."""
        with self._comparing:
            if self._compared is not None:
                known_bits, known, groups = self._compared
                if known_bits == bits and np.array_equal(known, hashes):
                    return groups
            groups = perceptual_groups.groups(hashes, bits)
            self._compared = bits, hashes, groups
            return groups

    def _same_meaning(self, most: float) -> _Found:
        vectors = select(embeddings.c.image_id).where(embeddings.c.index_id == self._index.id)
        read = self._read(images.c.content_hash, images.c.id.in_(vectors))
        rows = list(islice(read, MAX_PICTURES + 1))
        present = dict(rows[:MAX_PICTURES])
        looked = self._links.look(present)
        ids = list(present)
        places = {image_id: place for place, image_id in enumerate(ids)}
        pairs = (
            (places[one], places[other])
            for one, other in chain(looked.pairs(most), _copies(present))
            if one in places and other in places
        )
        truncated = len(rows) > len(ids) or len(looked.contents) < len(ids)
        return _Found(_named(ids, connected(len(ids), pairs)), truncated)

    def _read(
        self, column: ColumnElement[Any], *where: ColumnElement[bool]
    ) -> Iterator[tuple[int, Any]]:
        """The ids of pictures, ascending, each with its value of the column."""
        last, more = 0, True
        while more:
            query = select(images.c.id, column).where(*self._here(), *where, images.c.id > last)
            with self._sessions.begin() as session:
                rows = session.execute(query.order_by(images.c.id).limit(READ_AT_ONCE)).all()
            yield from ((row[0], row[1]) for row in rows)
            more = len(rows) == READ_AT_ONCE
            last = rows[-1][0] if rows else last

    def _count(self, session: Session, *where: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(images).where(*self._here(), *where)
        return session.execute(query).scalar_one()

    def _here(self) -> tuple[ColumnElement[bool], ...]:
        return images.c.collection_id == self._index.collection_id, PRESENT

    def _shown(self, groups: Groups) -> list[Group]:
        """The pictures' records; one that was deleted meanwhile is left out."""
        listed = [image_id for group in groups for image_id in group[:MAX_LISTED]]
        chosen = any_(cast(listed, ARRAY(BigInteger)))
        query = select(*IMAGE_COLUMNS).where(images.c.id == chosen, PRESENT)
        with self._sessions.begin() as session:
            found = {row["id"]: Image.of(row) for row in session.execute(query).mappings()}
        return [
            Group(len(group), [found[one] for one in group[:MAX_LISTED] if one in found])
            for group in groups
        ]


def check_threshold(kind: Kind, threshold: float | None) -> float | None:
    """The threshold to use: the kind's own where None is given, None for exact.

    Raises QueryRejected where it is out of the kind's range.
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
    distance = NEAR if threshold is None else threshold
    if not 0 <= distance <= MAX_DISTANCE:
        raise QueryRejected(
            f"threshold {distance:g}: for semantic duplicates it is a cosine distance, 0 to "
            f"{MAX_DISTANCE}."
        )
    return distance


def comparable(bits: int) -> int:
    """How many pictures are compared by their looks: at most MAX_PICTURES and COMPARISONS.

    Hashes are compared where one of their bits + 1 bands is equal, so that more bits need more.
    """
    bands = bits + 1
    alike = bands / 2 ** (BITS / bands)  # comparisons for each pair of pictures
    return min(MAX_PICTURES, isqrt(int(2 * COMPARISONS / alike)))


def _copies(contents: Mapping[int, bytes]) -> Iterator[tuple[int, int]]:
    """Each picture with the first of the same bytes: more of them than are looked up may be."""
    first: dict[bytes, int] = {}
    for image_id, content in contents.items():
        yield image_id, first.setdefault(content, image_id)


def _named(ids: Sequence[int], groups: list[list[int]]) -> Groups:
    """Groups of positions in `ids` as groups of ids."""
    return [[ids[place] for place in group] for group in groups]
