"""Reads the members of a tar, plain or compressed; nothing in its headers is trusted."""

import itertools
import sys
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from app.errors import ArchiveRejected
from app.sources.archives.archive_members import NOT_AN_ARCHIVE, ArchiveMember
from app.sources.archives.decompression import (
    PIECE_BYTES,
    TAR_PACKINGS,
    ArchiveLimits,
    DecompressedStream,
    Meter,
    Source,
)

MAX_HEADER_BYTES = 1_000_000  # of one tar entry, with its long name and pax records
TAR_END = bytes(tarfile.BLOCKSIZE)
TAR_WITHOUT_BYTES = {b"1", b"2", b"3", b"4", b"5", b"6"}  # links, devices, folders and pipes
TAR_EXTENSIONS = {b"L", b"K", b"x", b"X", b"g"}  # long names, and pax: of one entry, of all
TAR_REFUSALS = {
    tarfile.LNKTYPE: "This is a hard link, not a file.",
    tarfile.SYMTYPE: "This is a symbolic link, not a file.",
    tarfile.GNUTYPE_SPARSE: "This is a sparse file.",
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE), ""),
}


def tar_members(packing: str, file: BinaryIO, limits: ArchiveLimits) -> Iterator[ArchiveMember]:
    """The entries in the order of the tar. Raises ArchiveRejected."""
    source = Source(file, 0, sys.maxsize)
    unpack = TAR_PACKINGS[packing](source)
    stream = DecompressedStream(source, unpack, [Meter(limits)], ArchiveRejected)
    for index in itertools.count():
        try:
            info = _tar_header(stream)
            if info is None:
                return
            body = _Body(stream, 0 if info.type in TAR_WITHOUT_BYTES else info.size)
        except (tarfile.HeaderError, ValueError) as error:
            damaged = f"The tar is damaged, cut short or none, after {index} entries: {error}."
            raise ArchiveRejected(damaged if index or packing else NOT_AN_ARCHIVE) from error
        yield ArchiveMember(index, info.name, body.read, _tar_refusal(info), info.isdir())
        body.skip()


def _tar_refusal(info: tarfile.TarInfo) -> str:
    if any(key.startswith("GNU.sparse.") for key in info.pax_headers):
        return TAR_REFUSALS[tarfile.GNUTYPE_SPARSE]
    return TAR_REFUSALS.get(
        info.type, "This is a device, a pipe or something else that is not a file."
    )


def _tar_header(stream: DecompressedStream) -> tarfile.TarInfo | None:
    """The next entry's header, with the extension headers before it applied; None at the end.

    Raises HeaderError or ValueError if it is malformed, ArchiveRejected if it is huge.
    """
    records: dict[str, str] = {}
    left = MAX_HEADER_BYTES
    while (block := stream.read(tarfile.BLOCKSIZE)) != TAR_END:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type not in TAR_EXTENSIONS:
            return _with_extensions(info, records, stream, block)
        left -= tarfile.BLOCKSIZE + max(info.size, 0)
        if left < 0:
            raise ArchiveRejected(f"A header in the tar has more than {MAX_HEADER_BYTES:,} bytes.")
        body = _Body(stream, info.size)
        records |= _tar_records(info.type, body.read(info.size))
        body.skip()
    return None


def _tar_records(kind: bytes, data: bytes) -> dict[str, str]:
    if kind == b"L":
        return {"path": data.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    return _pax_records(data) if kind in b"xX" else {}


def _pax_records(data: bytes) -> dict[str, str]:
    """Lines of the form `length key=value`; the length is that of the whole line in bytes."""
    records = {}
    at = 0
    while at < len(data) and data[at]:
        length = data[at : at + 20].partition(b" ")[0]
        if not length.isdigit() or not len(length) < int(length) <= len(data) - at:
            raise ValueError("a pax record is malformed")
        line = data[at + len(length) + 1 : at + int(length) - 1]
        key, _, value = line.decode("utf-8", "surrogateescape").partition("=")
        records[key] = value
        at += int(length)
    return records


def _with_extensions(
    info: tarfile.TarInfo, records: dict[str, str], stream: DecompressedStream, block: bytes
) -> tarfile.TarInfo:
    info.name = records.get("GNU.sparse.name") or records.get("path") or info.name
    info.size = int(records.get("size", info.size))
    info.pax_headers = records
    more = info.type == tarfile.GNUTYPE_SPARSE and block[482]
    while more:  # blocks of a sparse file's map, which are not part of its size
        more = _Body(stream, tarfile.BLOCKSIZE).read(tarfile.BLOCKSIZE)[504]
    return info


class _Body:
    """The bytes of one tar entry, and the padding after it.

    Raises ValueError for a negative size, ArchiveRejected if the tar ends inside the entry.
    """

    def __init__(self, stream: DecompressedStream, size: int) -> None:
        if size < 0:
            raise ValueError("a size is negative")
        self._stream = stream
        self._left = size
        self._padding = -size % tarfile.BLOCKSIZE

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = self._stream.read(wanted)
        if len(data) < wanted:
            raise ArchiveRejected("The tar is cut short: it ends in the middle of an entry.")
        self._left -= wanted
        return data

    def skip(self) -> None:
        self._left += self._padding
        self._padding = 0
        while self._left:
            self.read(PIECE_BYTES)
