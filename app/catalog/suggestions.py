"""What a person may mean who has typed the beginning of a word: tags, people, places, files.

The values of a collection are counted at most once in KEPT_SECONDS, and kept in this process;
names of files, which may be as many as the pictures, are looked up in their index.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.catalog.filters.filters import parse
from app.catalog.images.file_names import names_beginning
from app.catalog.images.image_listing import facets
from app.database.connections import Sessions
from app.database.tables import Collection
from app.index.scan_settings import prepare

FIELDS = ("tags", "people", "album", "place.city", "place.country")
NAME = "name"  # the field of the names of files
MAX_SUGGESTIONS = 8
MIN_NAMES = 3  # of them that names may have, if there are so many
MAX_VALUES = 100  # of each field
KEPT_SECONDS = 60.0
MAX_COLLECTIONS = 100  # whose values are kept


@dataclass(frozen=True)
class Suggestion:
    """A value of a field, or the NAME of a file, and how many pictures have it."""

    text: str
    field: str
    pictures: int


@dataclass
class Suggestions:
    """Suggests the MAX_VALUES most frequent values of each of FIELDS, and all names of files."""

    sessions: Sessions
    _kept: OrderedDict[int, tuple[float, Sequence[Suggestion]]] = field(
        default_factory=OrderedDict, init=False
    )  # by collection id, with a reading of the monotonic clock
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def of(self, collection: Collection, typed: str) -> list[Suggestion]:
        """Up to MAX_SUGGESTIONS: values in which a word begins so, frequent ones first; names."""
        wanted = typed.casefold().strip()
        if not wanted:
            return []
        found = [one for one in self._values(collection) if _begins(one.text.casefold(), wanted)]
        names = self._names(collection, typed.strip(), MAX_SUGGESTIONS - len(found))
        return [*found[: MAX_SUGGESTIONS - len(names)], *names]

    def of_field(self, collection: Collection, name: str, typed: str) -> list[Suggestion]:
        """Up to MAX_SUGGESTIONS values of one field that contain the text, frequent ones first.

        Unlike `of` it knows the rarest value, since it reads all pictures of the collection.
        Raises FilterRejected for a field that has no values to count.
        """
        everything, declared = parse({}, collection.fields), collection.filterable
        wanted = typed.strip()
        with self.sessions.begin() as session:
            prepare(session)
            found = facets(
                session, collection.id, everything, name, declared, MAX_SUGGESTIONS, wanted
            )
        return [Suggestion(str(value), name, pictures) for value, pictures in found]

    def _names(self, collection: Collection, typed: str, room: int) -> list[Suggestion]:
        with self.sessions.begin() as session:
            prepare(session)
            found = names_beginning(session, collection.id, typed, max(MIN_NAMES, room))
        return [Suggestion(name, NAME, pictures) for name, pictures in found]

    def _values(self, collection: Collection) -> Sequence[Suggestion]:
        with self._lock:
            counted, values = self._kept.get(collection.id, (0.0, ()))
        if counted and time.monotonic() - counted < KEPT_SECONDS:
            return values
        values = self._count(collection)
        with self._lock:
            self._kept[collection.id] = time.monotonic(), values
            self._kept.move_to_end(collection.id)
            if len(self._kept) > MAX_COLLECTIONS:
                self._kept.popitem(last=False)
        return values

    def _count(self, collection: Collection) -> Sequence[Suggestion]:
        everything = parse({}, collection.fields)
        counted = []
        with self.sessions.begin() as session:
            prepare(session)
            for name in FIELDS:
                of_field = facets(
                    session, collection.id, everything, name, collection.fields, MAX_VALUES
                )
                counted += [
                    Suggestion(value, name, pictures)
                    for value, pictures in of_field
                    if isinstance(value, str)
                ]
        return sorted(counted, key=lambda one: (-one.pictures, one.text))


def _begins(text: str, wanted: str) -> bool:
    """Whether the text or a word in it begins so; anywhere in it for scripts without spaces."""
    return f" {wanted}" in f" {text}" or (not wanted.isascii() and wanted in text)
