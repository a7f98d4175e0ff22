"""A group of hits of which the first is shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """The position of the group's first hit, and the ids of its duplicates."""

    position: int
    duplicate_ids: list[int]
