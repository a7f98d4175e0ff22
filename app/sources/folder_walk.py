"""Walks a folder and all below it in the order of the paths' bytes, by names alone.

Held in memory are the names of one folder at each level, not the tree's.
"""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from app.sources.ignored_names import IgnoredNames
from app.sources.interfaces import PassedOver, Unlisted
from app.sources.sidecars.annotations import COMPANIONS
from app.sources.sidecars.companions import Companions, suffix_of
from app.storage.disk import OWNER

STAYS = "Its pictures stay as they are known."
LINK = "This is a link to a folder, which is not followed: index that folder itself."


class FoundFile(NamedTuple):
    """A file and the sidecars beside it, by name; a stray looks like a sidecar of no picture.

    `location` is where it lies, `path` its name in the catalog.
    """

    location: str
    path: str
    sidecars: tuple[str, ...] = ()
    is_stray: bool = False


Found = FoundFile | Unlisted | PassedOver


@dataclass(frozen=True)
class Walk:
    """A walk through `folder`, whose files are in the catalog below `prefix`.

    With `follow_links` links to folders are followed, except to what is walked anyway or was
    followed before, and to folders that hold the walked one or `program`: that ends circles.
    """

    folder: Path
    prefix: str
    ignored: IgnoredNames
    follow_links: bool = False
    program: Path | None = None

    def found(self) -> Iterator[Found]:
        """Every file that may be a picture, and what is passed over, sorted by path.

        A folder is sorted by its name with a slash, as the paths below it are. One that cannot be
        listed, because it may not be read or has just vanished, is yielded in its place.
        """
        top = os.path.realpath(self.folder)
        followed = _Followed(top, os.path.realpath(self.program) if self.program else top)
        waiting: list[_Level] = []
        following: _Place | None = _Place(os.fspath(self.folder), self.prefix, top)
        while following:
            try:
                waiting.append(self._level(following, is_top=not waiting))
            except OSError as error:
                reason = f"This folder cannot be listed: {error.strerror}. {STAYS}"
                yield Unlisted(following.path, reason)
            following = None
            while waiting and not following:
                following = yield from self._to_next_folder(waiting[-1], followed)
                if not following:
                    waiting.pop()

    def _to_next_folder(
        self, level: "_Level", followed: "_Followed"
    ) -> Generator[Found, None, "_Place | None"]:
        """What the folder holds before the next one that is to be walked, which it returns."""
        for name in level.names:
            if name[-1] != "/":
                yield level.file(name)
            elif below := self._below(level, name, followed):
                return below
            else:
                yield self._not_walked(level, name)
        return None

    def _below(self, level: "_Level", name: str, followed: "_Followed") -> "_Place | None":
        """A folder that is to be walked, or where a link to one leads."""
        below = level.place.below(name)
        if name in level.ignored or followed.has(below.real):
            return None
        if name not in level.links:
            return below
        real = os.path.realpath(below.location)
        is_followed = self.follow_links and followed.add(real)
        return below._replace(real=real) if is_followed else None

    def _not_walked(self, level: "_Level", name: str) -> Found:
        path = level.place.path + name
        is_unknown = name in level.links - level.ignored and not self.follow_links
        return Unlisted(path, LINK) if is_unknown else PassedOver(path)

    def _level(self, place: "_Place", *, is_top: bool) -> "_Level":
        """A folder's names; none in a store of ours, unless that is asked for."""
        files: list[str] = []
        folders: list[str] = []
        links: set[str] = set()
        with os.scandir(place.location) as entries:
            for entry in entries:
                if entry.name == OWNER and not is_top:
                    return _Level(place, iter(()))
                if not _is_folder(entry):
                    files.append(entry.name)
                    continue
                folders.append(entry.name)
                if entry.is_symlink():
                    links.add(f"{entry.name}/")
        parent = Path(place.location).name
        ignored = self.ignored.among(files, parent)
        shown = [name for name in files if name not in ignored] if ignored else files
        companions = Companions.among(shown)
        strays = companions.strays(shown)
        ignored.update(f"{name}/" for name in self.ignored.among(folders, parent))
        names = files + [f"{name}/" for name in folders]
        # The bytes of UTF-8 sort as its characters do; those of other names do not.
        names.sort(key=None if all(map(str.isascii, names)) else os.fsencode)
        return _Level(place, iter(names), companions, strays, links, ignored)


class _Place(NamedTuple):
    """A folder: where it lies, its path in the catalog with a slash, where it really lies."""

    location: str
    path: str
    real: str

    def below(self, name: str) -> "_Place":
        """A folder in it, whose name has a slash at its end."""
        bare = name[:-1]
        return _Place(
            os.path.join(self.location, bare),  # noqa: PTH118  # a Path takes longer than the disk
            self.path + name,
            os.path.join(self.real, bare),  # noqa: PTH118
        )


@dataclass
class _Level:
    """What is left of a folder that is being walked, and what its files belong to."""

    place: _Place
    names: Iterator[str]
    companions: Companions = field(default_factory=Companions)
    strays: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)

    def file(self, name: str) -> Found:
        """The file if it may be a picture, or may have lost its own."""
        place = self.place
        location, path = f"{place.location}/{name}", place.path + name
        if self.ignored and name in self.ignored:
            return PassedOver(path)
        if suffix_of(name).lower() in COMPANIONS:
            if self.strays and name in self.strays:
                return FoundFile(location, path, is_stray=True)
            return PassedOver(path, is_companion=True)
        if self.companions.is_clip(name):
            return PassedOver(path, is_companion=True)
        return FoundFile(location, path, self.companions.of(name))


class _Followed:
    """The folders that links led to, by where they really lie."""

    def __init__(self, top: str, program: str) -> None:
        self._top, self._program = top, program
        self._places: set[str] = set()

    def add(self, real: str) -> bool:
        """Whether a link there is to be followed."""
        holds_us = _is_at_or_below(self._top, real) or _is_at_or_below(self._program, real)
        walked = (self._top, *self._places)
        if holds_us or any(_is_at_or_below(real, place) for place in walked):
            return False
        self._places.add(real)
        return True

    def has(self, real: str) -> bool:
        """Whether a link led to this very folder, which another's walk now meets."""
        return real in self._places


def _is_at_or_below(place: str, folder: str) -> bool:
    return place == folder or place.startswith(f"{folder.rstrip('/')}/")


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or not even its kind is known
        return False
