"""Compressed bytes as streams that count what they decompress and enforce limits."""

import bz2
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol, cast

from app.errors import ArchiveRejected

RATIO_FROM_BYTES = (
    1_000_000  # decompressed: anything smaller may be a small picture that compresses well
)
PACKED_BYTES = 16_384  # read at a time, so the ratio is known this precisely
PIECE_BYTES = 65_536  # unpacked at a time
MAX_WINDOW_BYTES = 2**27  # for xz, LZMA and zstd: enough for their highest usual levels

Read = Callable[[int], bytes]
"""Takes a number of bytes and returns at most that many; none only at the end."""


@dataclass(frozen=True, kw_only=True)
class ArchiveLimits:
    """Limits of an archive: exceeding `max_file_bytes` refuses the file, any other the rest.

    `max_entries` counts refused entries too, but not companion files, folders and ignored ones: of
    these there may be as many again. `max_ratio` is unpacked : packed, `max_annotation_bytes` what
    is held of tables and sidecars.
    """

    max_file_bytes: int
    max_entries: int = 10_000
    max_unpacked_bytes: int = 5_000_000_000
    max_ratio: int = 100
    max_annotation_bytes: int = 20_000_000


@dataclass
class Meter:
    """Counts compressed and decompressed bytes. Raises ArchiveRejected over a limit."""

    limits: ArchiveLimits
    packed: int = 0
    unpacked: int = 0

    def add(self, packed: int, unpacked: int) -> None:
        """Count these bytes."""
        self.packed += packed
        self.unpacked += unpacked
        allowed = self.limits.max_unpacked_bytes
        if self.unpacked > allowed:
            raise ArchiveRejected(f"The archive unpacks to more than {allowed / 1e6:g} MB.")
        if self.unpacked > max(RATIO_FROM_BYTES, self.limits.max_ratio * self.packed):
            times = self.limits.max_ratio
            raise ArchiveRejected(f"The archive unpacks to more than {times} times its size.")


class Source:
    """At most `size` bytes of a file from `start` on; `taken` counts those read so far."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        file.seek(start)
        self._file = file
        self._size = size
        self.taken = 0

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none only at the end."""
        data = self._file.read(min(size, self._size - self.taken))
        self.taken += len(data)
        return data


class DecompressedStream:
    """`source` decompressed by `unpack` and counted by `meters`; damage raises `damaged`."""

    def __init__(
        self, source: Source, unpack: Read, meters: list[Meter], damaged: type[Exception]
    ) -> None:
        self._source, self._unpack = source, unpack
        self._meters, self._damaged = meters, damaged

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end. May raise ArchiveRejected."""
        pieces = []
        while size > 0 and (piece := self._piece(min(size, PIECE_BYTES))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _piece(self, size: int) -> bytes:
        taken = self._source.taken
        try:
            piece = self._unpack(size)
        except Exception as error:  # each decoder has errors of its own
            raise self._damaged(f"The packed bytes are damaged: {error}.") from error
        for meter in self._meters:
            meter.add(self._source.taken - taken, len(piece))
        return piece


class _Decoder(Protocol):
    """What bz2, lzma and Python 3.14's zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Decoded:
    """Decodes `source`; `start` makes a decoder for each of the streams it is made of."""

    def __init__(self, source: Source, start: Callable[[], _Decoder], first: bytes = b"") -> None:
        self._source, self._start = source, start
        self._decoder = start()
        self._next = first

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder.eof:
                self._next = self._decoder.unused_data
                self._decoder = self._start()
            data = b""
            if self._decoder.needs_input:
                data, self._next = self._next or self._source.read(PACKED_BYTES), b""
                if not data:
                    return b""
            if piece := self._decoder.decompress(data, size):
                return piece


class _Inflate:
    """zlib's decoder in the shape of bz2's."""

    def __init__(self, window_bits: int) -> None:
        self._zlib = zlib.decompressobj(window_bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        piece = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(piece) < max_length
        return piece


def _stored(source: Source) -> Read:
    return source.read


def _deflated(source: Source) -> Read:
    return _Decoded(source, partial(_Inflate, -zlib.MAX_WBITS)).read


def _gzipped(source: Source) -> Read:
    return _Decoded(source, partial(_Inflate, 16 + zlib.MAX_WBITS)).read


def _bzipped(source: Source) -> Read:
    return _Decoded(source, bz2.BZ2Decompressor).read


def _xz(source: Source) -> Read:
    return _Decoded(source, partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, MAX_WINDOW_BYTES)).read


def _zstd(source: Source) -> Read:
    if sys.version_info >= (3, 14):
        from compression import zstd

        options = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_BYTES.bit_length() - 1}
        return _Decoded(source, partial(zstd.ZstdDecompressor, options=options)).read
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    return decoder.stream_reader(cast(BinaryIO, source), PACKED_BYTES, read_across_frames=True).read


def _zip_lzma(source: Source) -> Read:
    """A version, the length of the properties, the properties; then as in an .lzma file."""
    properties = source.read(9)[4:]
    unknown_size = b"\xff" * 8
    start = partial(lzma.LZMADecompressor, lzma.FORMAT_ALONE, MAX_WINDOW_BYTES)
    return _Decoded(source, start, properties + unknown_size).read


TAR_PACKINGS = {
    "": _stored,
    "tar": _stored,
    "gzip": _gzipped,
    "bzip2": _bzipped,
    "xz": _xz,
    "zstd": _zstd,
}
ZIP_METHODS = {
    zipfile.ZIP_STORED: _stored,
    zipfile.ZIP_DEFLATED: _deflated,
    zipfile.ZIP_BZIP2: _bzipped,
    zipfile.ZIP_LZMA: _zip_lzma,
}
