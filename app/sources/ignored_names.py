"""Names of files and folders that are never pictures of a person's: alike in every source.

NAS systems, operating systems and photo programs keep thumbnails, previews and deleted files in
folders of their own. Names that begin with a dot, and what macOS adds to archives, are always
ignored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property

MAC_METADATA = "__MACOSX"


@dataclass(frozen=True)
class IgnoredNames:
    """Patterns as in a shell, ignoring case: `name`, or `folder/name` for a name in such a folder.

    A name that is ignored is ignored with all that is below it.
    """

    patterns: tuple[str, ...] = ()

    def has(self, name: str, parent: str = "") -> bool:
        """Whether a file or folder of this name is ignored in a folder of the name `parent`."""
        return (
            name.startswith(".")
            or name == MAC_METADATA
            or self._names.fullmatch(name) is not None
            or self._pairs.fullmatch(f"{parent}/{name}") is not None
        )

    def has_any(self, path: str, parent: str = "") -> bool:
        """Whether any part of a path, with slashes and relative to a folder, is ignored."""
        names = [parent, *path.split("/")]
        return any(self.has(name, names[number]) for number, name in enumerate(names[1:]))

    @cached_property
    def _names(self) -> re.Pattern[str]:
        return _any_of(one for one in self.patterns if "/" not in one)

    @cached_property
    def _pairs(self) -> re.Pattern[str]:
        return _any_of(one for one in self.patterns if "/" in one)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    never = "(?!)"
    return re.compile("|".join(map(translate, patterns)) or never, re.IGNORECASE)


ONLY_HIDDEN = IgnoredNames()
