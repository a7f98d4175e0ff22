"""Archives as streams of entries: zip, and tar plain or compressed by gzip, bzip2, xz or zstd.

Nothing is extracted to a path and no header is trusted: bytes are counted as they are
decompressed, and only one entry at a time is held in memory; skipped entries are not held at all.
"""

import posixpath
import re
import tarfile
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath

from app.errors import AnnotationInvalid, ArchiveRejected, EntryRefused
from app.sources.archives.archive_members import (
    NOT_AN_ARCHIVE,
    ArchiveEntry,
    ArchiveMember,
    RefusedEntry,
)
from app.sources.archives.archive_sidecars import ArchiveSidecars, is_sidecar
from app.sources.archives.decompression import ArchiveLimits
from app.sources.archives.tar_reader import tar_members
from app.sources.archives.zip_reader import zip_members
from app.sources.ignored_names import ONLY_HIDDEN, IgnoredNames
from app.sources.sidecars.annotations import (
    COMPANIONS,
    MAX_TABLE_BYTES,
    NO_FIELDS,
    TABLES,
    Annotation,
    parse_table,
)
from app.sources.sidecars.sidecar_reading import NamePlace, max_bytes

MAX_NAME_CHARACTERS = 1_000
MAX_SHOWN_CHARACTERS = 300  # of a refused entry's name

SIGNATURES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # empty
    b"PK\x07\x08": "zip",  # one of several parts
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
}
NESTED = {".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"}
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}  # controls, halves of surrogate pairs, line breaks


@dataclass(frozen=True)
class Annotations:
    """Captions and metadata in the archive, and why a sidecar was ignored, both by entry name.

    `unmatched` are the names, by table, that no entry has; `strays` are Takeout's sidecars that
    describe no entry, and `clips` the entries that are the moving part of another.
    """

    by_name: dict[str, Annotation]
    notes: dict[str, str]
    unmatched: dict[str, list[str]] = field(default_factory=dict)
    strays: list[str] = field(default_factory=list)
    clips: frozenset[str] = frozenset()


def annotations(
    archive: Path,
    limits: ArchiveLimits,
    ignored: IgnoredNames = ONLY_HIDDEN,
    *,
    keep_gps: bool = False,
) -> Annotations:
    """Those of an archive that is one file. Raises as `joined_annotations`."""
    return joined_annotations([archive], limits, ignored, keep_gps=keep_gps)


def joined_annotations(
    parts: Sequence[Path],
    limits: ArchiveLimits,
    ignored: IgnoredNames = ONLY_HIDDEN,
    *,
    keep_gps: bool = False,
    name_place: NamePlace | None = None,
    fields: Mapping[str, str] = NO_FIELDS,
) -> Annotations:
    """Read the tables and sidecars; a sidecar's keys take precedence over a table's.

    `fields` are the types of those of the collection, for the cells of a CSV.

    An archive may have several parts: a sidecar may lie in another part than its picture.
    If the archive is damaged or exceeds a limit, what was read before that counts: `entries`
    reports the fault. Raises ArchiveRejected for a malformed table or too much metadata in all.
    """
    tables: dict[str, dict[str, Annotation]] = {}
    names: set[str] = set()
    sidecars = ArchiveSidecars(keep_gps, name_place)
    left = limits.max_annotation_bytes
    found_files = (_annotation_files(part, limits, ignored, names) for part in parts)
    for found in chain.from_iterable(found_files):
        if _is_table(found.name):
            left -= len(found.data) if isinstance(found, ArchiveEntry) else 0
            tables[found.name] = _table(found, fields)
        else:
            left -= sidecars.add(found)
        if left < 0:
            allowed = limits.max_annotation_bytes / 1e6
            raise ArchiveRejected(f"Its metadata has more than {allowed:g} MB.")
    by_name: dict[str, Annotation] = {}
    unmatched: dict[str, list[str]] = {}
    for table, rows in tables.items():
        spelled = _spelled(rows, names)
        by_name |= {spelled.get(name, name): rows[name] for name in rows}
        if missing := [name for name in rows if name not in spelled]:
            unmatched[table] = missing
    for name, sidecar in sidecars.match(names):
        by_name[name] = sidecar.over(by_name.get(name, Annotation()))
    return Annotations(by_name, sidecars.notes, unmatched, sidecars.strays(), sidecars.clips())


def entries(
    archive: Path, limits: ArchiveLimits, after: int = -1, ignored: IgnoredNames = ONLY_HIDDEN
) -> Iterator[ArchiveEntry | RefusedEntry]:
    """The files whose index is greater than `after`; hidden and companion files are skipped.

    Yields everything readable first, then raises ArchiveRejected if the file is no archive, is
    damaged or exceeds a limit. What a zip holds up to `after` does not count as unpacked.
    """
    seen: set[str] = set()
    for member in _members(archive, limits, ignored):
        if member.passed_over:
            continue
        refusal = member.refusal or _refusal(member.name, seen)
        if not refusal:
            seen.add(member.name)
        if member.index > after:
            yield _read_entry(replace(member, refusal=refusal), limits.max_file_bytes)


# --- Which entries are accepted


def _members(
    archive: Path, limits: ArchiveLimits, ignored: IgnoredNames
) -> Iterator[ArchiveMember]:
    with archive.open("rb") as file:
        packing = _packing(file.read(tarfile.BLOCKSIZE))
        if packing in {"7z", "rar"}:
            raise ArchiveRejected(NOT_AN_ARCHIVE)
        members = zip_members if packing == "zip" else partial(tar_members, packing)
        files = 0
        for member in members(file, limits):
            checked = _checked(member, ignored)
            files += not checked.passed_over
            if max(files, member.index + 1 - files) > limits.max_entries:
                raise ArchiveRejected(
                    f"The archive has more than {limits.max_entries} entries. "
                    "IMAGE_SEARCH_MAX_ARCHIVE_ENTRIES is the limit."
                )
            yield checked


def _checked(member: ArchiveMember, ignored: IgnoredNames) -> ArchiveMember:
    """The member under its printable name, refused or skipped if its name demands it."""
    refusal = _name_refusal(member.name)
    if refusal:
        name = _printable(member.name[:MAX_SHOWN_CHARACTERS])
        return replace(member, name=name, refusal=refusal, passed_over=member.folder)
    name = _printable("/".join(_parts(member.name)))
    companion = PurePosixPath(name).suffix.lower() in COMPANIONS
    passed_over = member.folder or companion or ignored.has_any(name)
    return replace(member, name=name, passed_over=passed_over)


def _name_refusal(name: str) -> str:
    if len(name) > MAX_NAME_CHARACTERS:
        return f"The name has more than {MAX_NAME_CHARACTERS} characters."
    if ABSOLUTE.match(name):
        return "The name is an absolute path."
    if ".." in _parts(name):
        return "The name leads out of the archive."
    return "" if _parts(name) else "The entry has no name."


def _refusal(name: str, seen: set[str]) -> str:
    if PurePosixPath(name).suffix.lower() in NESTED:
        return "This is an archive inside the archive."
    return "Another entry has the same name." if name in seen else ""


def _read_entry(member: ArchiveMember, max_bytes: int) -> ArchiveEntry | RefusedEntry:
    reason = member.refusal
    try:
        data = b"" if reason else member.read(max_bytes + 1)
    except EntryRefused as error:
        reason = str(error)
    else:
        if len(data) > max_bytes:
            reason = f"The file has more than {max_bytes / 1e6:g} MB."
        elif _packing(data):
            reason = "This is an archive inside the archive."
    if reason:
        return RefusedEntry(member.index, member.name[:MAX_SHOWN_CHARACTERS], reason)
    return ArchiveEntry(member.index, member.name, data)


def _packing(head: bytes) -> str:
    """The kind of archive that begins with `head`; empty if it is none."""
    found = next((SIGNATURES[start] for start in SIGNATURES if head.startswith(start)), "")
    return found or ("tar" if head[257:262] == b"ustar" else "")


def _parts(name: str) -> list[str]:
    """Split at slashes, and at the backslashes that old Windows zip programs write."""
    return [part for part in re.split(r"[/\\]", name) if part not in {"", "."}]


def _printable(name: str) -> str:
    """The name with control characters and undecodable bytes escaped."""
    return "".join(
        char.encode("unicode_escape").decode()
        if unicodedata.category(char) in UNPRINTABLE
        else char
        for char in name
    )


# --- Tables and sidecars


def _spelled(annotated: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """The entry that each annotated name means: itself, or the only one that differs in case.

    Names are compared in composed form (NFC): macOS decomposes them. Those without an entry, or
    with several, are left out.
    """
    exact = {name: name for name in annotated if name in names}
    alike: dict[str, list[str]] = {}
    for name in names:
        if name not in exact:
            alike.setdefault(_folded(name), []).append(name)
    found = {name: alike.get(_folded(name), []) for name in annotated if name not in exact}
    return exact | {name: entries[0] for name, entries in found.items() if len(entries) == 1}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _annotation_files(
    archive: Path, limits: ArchiveLimits, ignored: IgnoredNames, names: set[str]
) -> Iterator[ArchiveEntry | RefusedEntry]:
    with suppress(ArchiveRejected):
        for member in _members(archive, limits, ignored):
            if member.folder or ignored.has_any(member.name):
                continue
            if not member.passed_over and not member.refusal:
                names.add(member.name)
            if _is_table(member.name):
                yield _read_entry(member, MAX_TABLE_BYTES)
            elif is_sidecar(member.name):
                yield _read_entry(member, max_bytes(member.name))


def _is_table(name: str) -> bool:
    return posixpath.basename(name).lower() in TABLES


def _table(found: ArchiveEntry | RefusedEntry, fields: Mapping[str, str]) -> dict[str, Annotation]:
    """Its rows by entry name; names in a table are relative to its folder."""
    if isinstance(found, RefusedEntry):
        raise ArchiveRejected(f"{found.name}: {found.reason}")
    try:
        rows = parse_table(found.name, found.data, fields)
    except AnnotationInvalid as error:
        raise ArchiveRejected(str(error)) from error
    folder = posixpath.dirname(found.name)
    paths = {name: posixpath.join(folder, name.replace("\\", "/")) for name in rows}
    return {_printable(posixpath.normpath(paths[name])): rows[name] for name in rows}
