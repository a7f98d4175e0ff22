"""Which sidecars of an archive describe which of its entries."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.errors import AnnotationInvalid
from app.sources.archives.archive_members import ArchiveEntry, RefusedEntry
from app.sources.sidecars.annotations import Annotation
from app.sources.sidecars.companions import SIDECAR, XMP_SIDECAR, Companions, may_be_sidecar
from app.sources.sidecars.sidecar_reading import TAKEOUT, NamePlace, Sidecar, merged, parse


def is_sidecar(name: str) -> bool:
    """Whether this is `picture.jpg.json` or an XMP, not `package.json`."""
    base = posixpath.basename(name)
    return base.lower().endswith(XMP_SIDECAR) or may_be_sidecar(base)


@dataclass
class ArchiveSidecars:
    """The sidecars of an archive by their folders, parsed: of XMP only what is kept is held."""

    keep_gps: bool
    name_place: NamePlace | None = None
    notes: dict[str, str] = field(default_factory=dict)
    _parsed: dict[str, Sidecar | str] = field(default_factory=dict)
    _folders: dict[str, list[str]] = field(default_factory=dict)
    _companions: dict[str, Companions] = field(default_factory=dict)

    def add(self, found: ArchiveEntry | RefusedEntry) -> int:
        """Parse one; returns the bytes that are held of it."""
        if isinstance(found, RefusedEntry):
            self._parsed[found.name] = found.reason
            return 0
        name = posixpath.basename(found.name)
        try:
            sidecar = parse(name, found.data, keep_gps=self.keep_gps, name_place=self.name_place)
        except AnnotationInvalid as error:
            self._parsed[found.name] = str(error)
            return 0
        self._parsed[found.name] = sidecar
        is_json = name.lower().endswith(SIDECAR)
        return len(found.data) if is_json else len(repr(sidecar))

    def match(self, names: set[str]) -> Iterator[tuple[str, Annotation]]:
        """What the sidecars say, by the entry; what is wrong with others is noted."""
        for path in (*names, *self._parsed):
            folder, name = posixpath.split(path)
            self._folders.setdefault(folder, []).append(name)
        for folder, inside in self._folders.items():
            self._companions[folder] = Companions.among(inside)
        for path in sorted(names):
            folder, name = posixpath.split(path)
            paths = [posixpath.join(folder, one) for one in self._companions[folder].of(name)]
            found = [self._parsed[one] for one in paths]
            faults = [one for one in found if isinstance(one, str)]
            if faults:
                self.notes[path] = "; ".join(faults)
            said = merged(name, (one for one in found if isinstance(one, Sidecar)))
            if said != Annotation():
                yield path, said

    def strays(self) -> list[str]:
        """Takeout's sidecars that describe no entry, once `match` is done."""
        looks = [
            posixpath.join(folder, name)
            for folder, inside in self._folders.items()
            for name in self._companions[folder].strays(inside)
        ]
        return [path for path in sorted(looks) if self._is_takeout(path)]

    def _is_takeout(self, path: str) -> bool:
        found = self._parsed[path]
        return isinstance(found, Sidecar) and found.kind == TAKEOUT

    def clips(self) -> frozenset[str]:
        """The entries that are the moving part of a still, once `match` is done."""
        return frozenset(
            posixpath.join(folder, name)
            for folder, inside in self._folders.items()
            for name in inside
            if self._companions[folder].is_clip(name)
        )
