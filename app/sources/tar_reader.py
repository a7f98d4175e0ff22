"""The entries of zip and tar files, before they are judged and read."""

import itertools
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from app.errors import ArchiveRejected, EntryRefused
from app.sources.decompression import (
    PIECE_BYTES,
    TAR_PACKINGS,
    ZIP_METHODS,
    Bounds,
    DecompressedStream,
    Meter,
    Read,
    Source,
)

MAX_HEADER_BYTES = 1_000_000  # of one tar entry, with its long name and pax records
MAX_RECORD_BYTES = 1_000  # of one entry in a zip's directory, on average
MISSING = "This is no archive: send a zip, or a tar, plain or packed with gzip, bzip2, xz or zstd."


@dataclass(frozen=True)
class ArchiveMember:
    """An entry before it is read, which must be done before the next one is asked for."""

    index: int
    name: str
    read: Read
    refusal: str = ""
    folder: bool = False
    passed_over: bool = False


# --- Zip


def zip_members(file: BinaryIO, bounds: Bounds) -> Iterator[ArchiveMember]:
    """The entries in the order of the zip's directory. Raises ArchiveRejected."""
    infos, end = _zip_directory(file, bounds)
    starts = sorted(info.header_offset for info in infos)
    ends = dict(itertools.pairwise([*starts, end]))
    if len(ends) < len(infos):
        raise ArchiveRejected("The entries of the archive overlap.")
    total = Meter(bounds)
    for index, info in enumerate(infos):
        mode = info.external_attr >> 16  # as Unix has it; 0 from other systems
        folder = info.filename.endswith(("/", "\\")) or stat.S_ISDIR(mode)
        read = partial(_zip_read, file, info, ends[info.header_offset], total)
        yield ArchiveMember(index, info.filename, read, _zip_refusal(info, mode), folder)


class _Directory:
    """A file as `zipfile` reads it, without the room for a directory of any length."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file, self._max = file, max_bytes
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size > self._max:
            raise ArchiveRejected(f"The zip's directory has more than {self._max:,} bytes.")
        return self._file.read(size)


def _zip_directory(file: BinaryIO, bounds: Bounds) -> tuple[list[zipfile.ZipInfo], int]:
    """All entries, and the offset in bytes where the directory begins."""
    limited = _Directory(file, MAX_RECORD_BYTES * bounds.max_entries)
    try:
        with zipfile.ZipFile(limited) as opened:
            return opened.infolist(), opened.start_dir
    except ArchiveRejected:
        raise
    except Exception as error:  # zipfile raises whatever its structs and codecs trip over
        raise ArchiveRejected(f"The zip is damaged or cut short: {error}.") from error


def _zip_refusal(info: zipfile.ZipInfo, mode: int) -> str:
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "This is a link or a device, not a file."
    if info.flag_bits & 1:
        return "The file is encrypted."
    if info.compress_type not in ZIP_METHODS:
        return f"The file is packed by method {info.compress_type}, which is not read."
    return ""


def _zip_read(
    file: BinaryIO, info: zipfile.ZipInfo, end: int, total: Meter, max_bytes: int
) -> bytes:
    """At most `max_bytes`; all are checked if they are fewer. `end` is where the next begins."""
    start = _zip_start(file, info)
    if start + info.compress_size > end:
        raise ArchiveRejected("The entries of the archive overlap.")
    source = Source(file, start, info.compress_size)
    unpack = ZIP_METHODS[info.compress_type](source)
    stream = DecompressedStream(source, unpack, [total, Meter(total.bounds)], EntryRefused)
    data = stream.read(max_bytes)
    if len(data) < max_bytes and (len(data), zlib.crc32(data)) != (info.file_size, info.CRC):
        raise EntryRefused("The file is damaged: its size or checksum is not what it should be.")
    return data


def _zip_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """The offset of the packed bytes, after a header with a name and extra fields."""
    # An offset may be any number of 64 bits.
    with suppress(OSError, ValueError, struct.error):
        file.seek(info.header_offset)
        header = ZIP_HEADER.unpack(file.read(ZIP_HEADER.size))
        if header[0] == b"PK\x03\x04":
            return int(info.header_offset + ZIP_HEADER.size + header[1] + header[2])
    raise EntryRefused("The file is damaged: it is not where the zip's directory says.")


ZIP_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and the extra fields


# --- Tar


def tar_members(packing: str, file: BinaryIO, bounds: Bounds) -> Iterator[ArchiveMember]:
    """The entries as they come. Raises ArchiveRejected."""
    source = Source(file, 0, sys.maxsize)
    unpack = TAR_PACKINGS[packing](source)
    stream = DecompressedStream(source, unpack, [Meter(bounds)], ArchiveRejected)
    for index in itertools.count():
        try:
            info = _tar_header(stream)
            if info is None:
                return
            body = _Body(stream, 0 if info.type in TAR_WITHOUT_BYTES else info.size)
        except (tarfile.HeaderError, ValueError) as error:
            damaged = f"The tar is damaged, cut short or none, after {index} entries: {error}."
            raise ArchiveRejected(damaged if index or packing else MISSING) from error
        yield ArchiveMember(index, info.name, body.read, _tar_refusal(info), info.isdir())
        body.skip()


TAR_END = bytes(tarfile.BLOCKSIZE)
TAR_WITHOUT_BYTES = {b"1", b"2", b"3", b"4", b"5", b"6"}  # links, devices, folders and pipes
TAR_EXTENSIONS = {b"L", b"K", b"x", b"X", b"g"}  # long names, and pax: of one entry, of all
TAR_REFUSALS = {
    tarfile.LNKTYPE: "This is a hard link, not a file.",
    tarfile.SYMTYPE: "This is a symbolic link, not a file.",
    tarfile.GNUTYPE_SPARSE: "This is a sparse file.",
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE), ""),
}


def _tar_refusal(info: tarfile.TarInfo) -> str:
    if any(key.startswith("GNU.sparse.") for key in info.pax_headers):
        return TAR_REFUSALS[tarfile.GNUTYPE_SPARSE]
    return TAR_REFUSALS.get(
        info.type, "This is a device, a pipe or something else that is no file."
    )


def _tar_header(stream: DecompressedStream) -> tarfile.TarInfo | None:
    """The next entry's header, corrected by the extensions before it; None at the end mark.

    Raises HeaderError or ValueError where it is malformed, ArchiveRejected where it is huge.
    """
    records: dict[str, str] = {}
    left = MAX_HEADER_BYTES
    while (block := stream.read(tarfile.BLOCKSIZE)) != TAR_END:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type not in TAR_EXTENSIONS:
            return _tar_corrected(info, records, stream, block)
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
    """Lines of the form `length key=value`, the length in bytes being the whole line's."""
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


def _tar_corrected(
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
    """The bytes of one tar entry, and the padding that fills its last block.

    Raises ValueError for a negative size, ArchiveRejected where the tar ends in the middle.
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
