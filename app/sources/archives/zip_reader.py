"""Reads the members of a zip file; nothing in its headers is trusted."""

import itertools
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import BinaryIO

from app.errors import ArchiveRejected, EntryRefused
from app.sources.archives.archive_members import ArchiveMember
from app.sources.archives.decompression import (
    ZIP_METHODS,
    ArchiveLimits,
    DecompressedStream,
    Meter,
    Source,
)

MAX_RECORD_BYTES = 1_000  # of one entry in a zip's directory, on average
ZIP_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and the extra fields


def zip_members(file: BinaryIO, limits: ArchiveLimits) -> Iterator[ArchiveMember]:
    """The entries in the order of the zip's directory. Raises ArchiveRejected."""
    infos, end = _zip_directory(file, limits)
    starts = sorted(info.header_offset for info in infos)
    ends = dict(itertools.pairwise([*starts, end]))
    if len(ends) < len(infos):
        raise ArchiveRejected("The entries of the archive overlap.")
    total = Meter(limits)
    for index, info in enumerate(infos):
        mode = info.external_attr >> 16  # as Unix has it; 0 from other systems
        folder = info.filename.endswith(("/", "\\")) or stat.S_ISDIR(mode)
        read = partial(_zip_read, file, info, ends[info.header_offset], total)
        yield ArchiveMember(index, info.filename, read, _zip_refusal(info, mode), folder)


class _Directory:
    """A file for `zipfile` that refuses to read a directory larger than `max_bytes`."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file, self._max = file, max_bytes
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size > self._max:
            raise ArchiveRejected(f"The zip's directory has more than {self._max:,} bytes.")
        return self._file.read(size)


def _zip_directory(file: BinaryIO, limits: ArchiveLimits) -> tuple[list[zipfile.ZipInfo], int]:
    """All entries, and the byte offset of the directory."""
    limited = _Directory(file, MAX_RECORD_BYTES * limits.max_entries)
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
    """At most `max_bytes`; the checksum is verified if the file has fewer. `end`: of the entry."""
    start = _zip_start(file, info)
    if start + info.compress_size > end:
        raise ArchiveRejected("The entries of the archive overlap.")
    source = Source(file, start, info.compress_size)
    unpack = ZIP_METHODS[info.compress_type](source)
    stream = DecompressedStream(source, unpack, [total, Meter(total.limits)], EntryRefused)
    data = stream.read(max_bytes)
    if len(data) < max_bytes and (len(data), zlib.crc32(data)) != (info.file_size, info.CRC):
        raise EntryRefused("The file is damaged: its size or checksum is not what it should be.")
    return data


def _zip_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """The offset of the compressed bytes, after a header with a name and extra fields."""
    # An offset may be any number of 64 bits.
    with suppress(OSError, ValueError, struct.error):
        file.seek(info.header_offset)
        header = ZIP_HEADER.unpack(file.read(ZIP_HEADER.size))
        if header[0] == b"PK\x03\x04":
            return int(info.header_offset + ZIP_HEADER.size + header[1] + header[2])
    raise EntryRefused("The file is damaged: it is not where the zip's directory says.")


ZIP_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and the extra fields
