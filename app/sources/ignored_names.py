"""Names of files and folders that are never pictures of a person's: alike in every source.

NAS systems, operating systems and photo programs keep thumbnails, previews and deleted files in
folders of their own. Names that begin with a dot, and what macOS adds to archives, are always
ignored.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

MAC_METADATA = "__MACOSX"
WILDCARDS = re.compile(r"[*?\[]")
KEPT_RULES = 256  # folders' names


@dataclass(frozen=True)
class IgnoredNames:
    """Patterns as in a shell, ignoring case: `name`, or `folder/name` for a name in such a folder.

    A name that is ignored is ignored with all that is below it.
    """

    patterns: tuple[str, ...] = ()

    def has(self, name: str, parent: str = "") -> bool:
        """Whether a file or folder of this name is ignored in a folder of the name `parent`."""
        return bool(self.among((name,), parent))

    def among(self, names: Iterable[str], parent: str = "") -> set[str]:
        """Those of the names that are ignored in a folder of the name `parent`."""
        exact, wild = _rules(self.patterns, parent)
        return {
            name
            for name in names
            if name[:1] == "."
            or name == MAC_METADATA
            or name.lower() in exact
            or (wild is not None and wild.fullmatch(name))
        }

    def has_any(self, path: str, parent: str = "") -> bool:
        """Whether any part of a path, with slashes and relative to a folder, is ignored."""
        names = [parent, *path.split("/")]
        return any(self.has(name, names[number]) for number, name in enumerate(names[1:]))


@lru_cache(KEPT_RULES)
def _rules(patterns: tuple[str, ...], parent: str) -> tuple[frozenset[str], re.Pattern[str] | None]:
    """What is ignored in a folder of the name `parent`: exact names in lower case, and a pattern.

    Most patterns are exact names, which one look finds: a listing asks for every file.
    """
    here = []
    for pattern in patterns:
        folder, slash, name = pattern.rpartition("/")
        if not slash or _any_of([folder]).fullmatch(parent):
            here.append(name)
    wild = [name for name in here if WILDCARDS.search(name)]
    exact = frozenset(name.lower() for name in here if name not in wild)
    return exact, _any_of(wild) if wild else None


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)), re.IGNORECASE)


ONLY_HIDDEN = IgnoredNames()
