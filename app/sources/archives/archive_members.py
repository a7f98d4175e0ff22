"""What the zip reader and the tar reader yield."""

from dataclasses import dataclass

from app.sources.archives.decompression import Read

NOT_AN_ARCHIVE = (
    "This is not an archive: send a zip, or a tar, plain or packed with gzip, bzip2, xz or zstd."
)


@dataclass(frozen=True)
class ArchiveMember:
    """One member of an archive. Call `read` before asking for the next member."""

    index: int
    name: str
    read: Read
    refusal: str = ""
    folder: bool = False
    passed_over: bool = False


@dataclass(frozen=True)
class ArchiveEntry:
    """One file: `index` counts all entries from 0, `name` is printable, with / and no `./`."""

    index: int
    name: str
    data: bytes


@dataclass(frozen=True)
class RefusedEntry:
    """An entry that is refused; its name is printable and may be shortened."""

    index: int
    name: str
    reason: str
