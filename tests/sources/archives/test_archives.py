"""Real archives of every kind, and hostile ones made byte by byte."""

import bz2
import gzip
import io
import json
import lzma
import random
import re
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as some

from app.errors import ArchiveRejected
from app.sources.archives import archives
from app.sources.archives.archive_members import NOT_AN_ARCHIVE, ArchiveEntry, RefusedEntry
from app.sources.archives.archives import Annotations, annotations, entries
from app.sources.archives.decompression import PIECE_BYTES, ArchiveLimits
from app.sources.sidecars.annotations import Annotation

LIMITS = ArchiveLimits(
    max_file_bytes=1000, max_entries=20, max_unpacked_bytes=3_000_000, max_ratio=100
)
ZEROS = bytes(600_000)
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]

Files = Iterable[tuple[str | zipfile.ZipInfo, bytes]]


def zipped(files: Files, method: int = zipfile.ZIP_STORED, **lies: Any) -> bytes:
    """A zip, the directory of which says `lies` of its last entry."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in files:
            archive.writestr(name, data)
        for attribute, value in lies.items():
            setattr(archive.filelist[-1], attribute, value)
    return out.getvalue()


def tarred(
    files: Iterable[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def block(kind: bytes, size: int, name: str = "a.jpg") -> bytes:
    """A tar header that claims `size`, which may be more than its field holds in octal."""
    info = tarfile.TarInfo(name)
    info.type = kind
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = (
        b"%011o\0" % size
        if 0 <= size < 8**11
        else struct.pack(">BxxxQ", 0xFF if size < 0 else 0x80, size % 2**64)
    )
    if size < 0:
        head[125:128] = b"\xff" * 3
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


END = bytes(1024)


class Reader:
    """Reads archives that are given as bytes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "archive"

    def all(
        self, data: bytes, limits: ArchiveLimits = LIMITS, after: int = -1
    ) -> tuple[list[ArchiveEntry | RefusedEntry], str]:
        """What comes before the end, and why it ended; the bytes are kept in a file."""
        self.path.write_bytes(data)
        found: list[ArchiveEntry | RefusedEntry] = []
        try:
            found.extend(entries(self.path, limits, after))
        except ArchiveRejected as error:
            return found, str(error)
        return found, ""

    def names(self, data: bytes, limits: ArchiveLimits = LIMITS) -> list[str]:
        found, ended = self.all(data, limits)
        assert (ended, [one for one in found if isinstance(one, RefusedEntry)]) == ("", [])
        return [one.name for one in found]

    def refusal(self, data: bytes, limits: ArchiveLimits = LIMITS) -> RefusedEntry:
        """The one refusal, after and before entries that are taken."""
        found, ended = self.all(data, limits)
        (refused,) = (one for one in found if isinstance(one, RefusedEntry))
        assert ended == ""
        assert found[-1] != refused
        return refused

    def annotations(self, files: dict[str, bytes], limits: ArchiveLimits = LIMITS) -> Annotations:
        self.path.write_bytes(zipped(files.items()))
        return annotations(self.path, limits)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


LAST = ("last.jpg", b"last")
TREE: list[tuple[str, bytes]] = [
    ("a.jpg", b"first"),
    ("./b//ünï.png", b""),
    (f"{'long' * 35}/{'name' * 20}.gif", bytes(range(256)) * 3),
    LAST,
]
TREE_ENTRIES = [
    ArchiveEntry(index, name.replace("./", "").replace("//", "/"), data)
    for index, (name, data) in enumerate(TREE)
]


@pytest.mark.parametrize("method", METHODS)
def test_a_zip_of_each_method_is_read(reader: Reader, method: int) -> None:
    assert reader.all(zipped(TREE, method)) == (TREE_ENTRIES, "")


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_of_each_packing_is_read(reader: Reader, packing: str, form: int) -> None:
    data = PACKERS[packing](tarred(TREE, form))
    assert reader.all(data) == (TREE_ENTRIES, "")


@pytest.mark.parametrize("packing", PACKERS)
def test_packed_streams_may_follow_one_another(reader: Reader, packing: str) -> None:
    tar, pack = tarred(TREE), PACKERS[packing]
    assert reader.all(pack(tar[:700]) + pack(b"") + pack(tar[700:])) == (TREE_ENTRIES, "")


def test_empty_archives_are_empty(reader: Reader) -> None:
    assert [reader.all(data) for data in (zipped([]), tarred([]))] == [([], "")] * 2


def test_a_long_entry_is_read_in_pieces(reader: Reader) -> None:
    data = random.Random(1).randbytes(300_000)
    limits = ArchiveLimits(max_file_bytes=len(data))
    for archive in (
        zipped([("a", data)], 8),
        zipped([("a", data)]),
        gzip.compress(tarred([("a", data)])),
    ):
        assert reader.all(archive, limits) == ([ArchiveEntry(0, "a", data)], "")


def test_what_a_decoder_holds_back_is_not_lost(reader: Reader) -> None:
    piece = PIECE_BYTES
    files = [(f"{n}.jpg", bytes(piece + n)) for n in range(1, 260)]
    limits = ArchiveLimits(max_file_bytes=piece + 260, max_ratio=10**6)
    assert len(reader.names(zipped(files, zipfile.ZIP_DEFLATED), limits)) == len(files)


def test_global_pax_headers_name_no_entry(reader: Reader) -> None:
    record = b"16 path=all.jpg\n"
    assert reader.names(block(b"g", len(record)) + padded(record) + tarred([LAST])) == ["last.jpg"]


def test_an_archive_is_taken_up_after_an_entry(reader: Reader) -> None:
    files = [*TREE, ("a.jpg", b"again")]
    for data in (zipped(files), tarred(files)):
        whole, _ = reader.all(data)
        assert isinstance(whole[-1], RefusedEntry)
        for after in range(-1, 6):
            assert reader.all(data, after=after) == (whole[after + 1 :], "")


def test_hidden_and_companion_files_and_folders_are_passed_over(reader: Reader) -> None:
    names = ["d/", ".x.jpg", "a/.b/c.jpg", "__MACOSX/a.jpg", "__MACOSX/d/._a.jpg"]
    names += [f"a.jpg{suffix}" for suffix in (".csv", ".JSON", ".jsonl", ".txt", ".md", ".xml")]
    files = [(name, b"") for name in [*names, "b.xmp", "b.yaml", "b.yml"]]
    assert reader.names(zipped([*files, LAST])) == ["last.jpg"]
    folder = tarfile.TarInfo("folder.jpg")
    folder.type = tarfile.DIRTYPE
    assert reader.names(tarred([(folder, b""), *files[1:], LAST])) == ["last.jpg"]
    unix = zipfile.ZipInfo("folder.jpg")
    unix.external_attr = 0o040755 << 16
    assert reader.names(zipped([(unix, b""), LAST])) == ["last.jpg"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.jpg", "leads out"),
        ("a/../b.jpg", "leads out"),
        ("a\\..\\b.jpg", "leads out"),
        ("../.hidden.json", "leads out"),
        ("/etc/a.jpg", "absolute"),
        ("C:\\a.jpg", "absolute"),
        ("c:/a.jpg", "absolute"),
        ("\\\\server\\a.jpg", "absolute"),
        (".", "no name"),
        ("x" * 1001, "more than 1000 characters"),
        ("a/b.zip", "archive inside"),
        *(
            (f"a{suffix}", "archive inside")
            for suffix in (".TAR", ".gz", ".tgz", ".zst", ".7z", ".rar")
        ),
    ],
)
def test_a_name_is_refused_alone(reader: Reader, name: str, reason: str) -> None:
    for data in (zipped([("a.jpg", b"a"), (name, b"x"), LAST]), tarred([(name, b"x"), LAST])):
        refused = reader.refusal(data)
        assert reason in refused.reason
        assert refused.name == name[:300]


def test_names_are_printable_and_distinct(reader: Reader) -> None:
    names = ["a\nb", "\x1b[1m", "caf\udce9", "caf\udce8", "日本\u3000", "a\\b.jpg", "x\u2028"]
    shown = ["a\\nb", "\\x1b[1m", "caf\\udce9", "caf\\udce8", "日本\u3000", "a/b.jpg", "x\\u2028"]
    assert reader.names(tarred((name, b"") for name in names)) == shown
    refused = reader.refusal(tarred([("../\n\udce9" * 90, b""), LAST]))
    assert len(refused.name) == 300
    assert refused.name.startswith("../\\n\\udce9")


def test_names_of_a_zip_are_utf_8_where_they_say_so_else_of_dos(reader: Reader) -> None:
    data = zipped([("\xe9.jpg", b"")])
    assert reader.names(data) == ["é.jpg"]
    dos = data.replace("é".encode(), b"\x82\x82")  # as long; then the flags of both headers
    dos = dos[:6] + b"\0\0" + dos[8:]
    at = dos.index(b"PK\1\2")
    assert reader.names(dos[: at + 8] + b"\0\0" + dos[at + 10 :]) == ["éé.jpg"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (b"Z", "something else"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(reader: Reader, kind: bytes, reason: str) -> None:
    odd = tarfile.TarInfo("odd.jpg")
    odd.type, odd.linkname = kind, "/etc/passwd"
    assert reason in reader.refusal(tarred([(odd, b""), LAST])).reason


def test_links_in_a_tar_have_no_bytes_whatever_their_size_says(reader: Reader) -> None:
    data = block(tarfile.LNKTYPE, 10**6) + tarred([LAST])
    assert "hard link" in reader.refusal(data).reason


@pytest.mark.parametrize("mode", [0o120777, 0o010644, 0o140644, 0o020644, 0o060644])
def test_links_and_devices_in_a_zip_are_refused(reader: Reader, mode: int) -> None:
    odd = zipfile.ZipInfo("odd.jpg")
    odd.external_attr = mode << 16
    assert "a link or a device" in reader.refusal(zipped([(odd, b"/etc/passwd"), LAST])).reason


def test_sparse_files_are_refused(reader: Reader) -> None:
    head = bytearray(block(tarfile.GNUTYPE_SPARSE, 5))
    head[482] = 1  # two more blocks of the map follow
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    maps = bytes(504) + b"\1" + bytes(7) + bytes(512)
    old = bytes(head) + maps + padded(b"bytes") + tarred([LAST])
    assert "sparse" in reader.refusal(old).reason
    new = tarfile.TarInfo("GNUSparseFile.0/a.jpg")
    new.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "a.jpg"}
    assert reader.refusal(tarred([(new, b"x"), LAST])) == RefusedEntry(
        0, "a.jpg", "This is a sparse file."
    )


@pytest.mark.parametrize("inner", [*PACKERS, "zip", "7z", "rar"])
def test_an_archive_inside_is_refused_whatever_its_name(reader: Reader, inner: str) -> None:
    made = {"zip": zipped([]), "7z": b"7z\xbc\xaf\x27\x1c\0", "rar": b"Rar!\x1a\x07\x01\0"}
    data = (
        made[inner]
        if inner in made
        else PACKERS[inner](tarred([]) if inner != "tar" else tarred([LAST]))
    )
    files = [("a.jpg", data), LAST]
    assert (
        "archive inside"
        in reader.refusal(zipped(files), ArchiveLimits(max_file_bytes=20_000)).reason
    )


@pytest.mark.parametrize(
    ("lie", "reason"), [({"flag_bits": 1}, "encrypted"), ({"compress_type": 9}, "method 9")]
)
def test_zip_entries_that_cannot_be_unpacked_are_refused(
    reader: Reader, lie: dict[str, int], reason: str
) -> None:
    found, ended = reader.all(zipped([("a.jpg", b"a"), LAST], **lie))
    assert (len(found), ended) == (2, "")
    assert reason in getattr(found[1], "reason", "")


@pytest.mark.parametrize("method", METHODS)
def test_damaged_zip_entries_are_refused(reader: Reader, method: int) -> None:
    words = random.Random(2).randbytes(200).hex().encode()
    good = zipped([("a.jpg", words), LAST], method)
    half = good.index(b"PK\3\4", 4) // 2
    damaged = good[:half] + bytes([good[half] ^ 0x55]) + good[half + 1 :]
    assert "damaged" in reader.refusal(damaged).reason


@pytest.mark.parametrize(
    "lies",
    [
        {"CRC": 1},
        {"file_size": 3},
        {"file_size": 2**40},
        {"compress_size": 3},
        {"header_offset": 37},
        {"header_offset": 2**63 - 1},
        {"header_offset": 2**64 - 1},
    ],
)
def test_what_a_zip_says_of_an_entry_is_not_believed(reader: Reader, lies: dict[str, int]) -> None:
    found, ended = reader.all(zipped([("a.jpg", b"a"), LAST], **lies))
    assert found[0] == ArchiveEntry(0, "a.jpg", b"a")
    assert "damaged" in getattr(found[1], "reason", "")
    assert ended == ""


@pytest.mark.parametrize(
    "lies", [{"compress_size": 2**33}, {"compress_size": 5}, {"header_offset": 0}]
)
def test_zip_entries_that_overlap_end_it(reader: Reader, lies: dict[str, int]) -> None:
    _, ended = reader.all(zipped([("a.jpg", b"a"), LAST], **lies))
    assert ended == "The entries of the archive overlap."


def test_a_zip_entry_that_quotes_the_next_one_ends_it(reader: Reader) -> None:
    quoted = zipped([("b.jpg", b"b")])
    data = zipped([("a.jpg", quoted), ("b.jpg", b"b")], header_offset=30 + len("a.jpg"))
    assert reader.all(data) == ([], "The entries of the archive overlap.")


def test_a_file_over_its_bound_is_refused_without_being_read(reader: Reader) -> None:
    files = [("a.jpg", b"x" * 1000), ("b.jpg", b"x" * 1001), LAST]
    for data in (zipped(files), tarred(files)):
        assert reader.refusal(data) == RefusedEntry(1, "b.jpg", "The file has more than 0.001 MB.")
    limits = ArchiveLimits(max_file_bytes=1000, max_unpacked_bytes=5000)
    assert reader.refusal(zipped([("b.jpg", ZEROS), LAST], 8), limits).name == "b.jpg"


def test_a_name_is_taken_once(reader: Reader) -> None:
    files = [("a.jpg", b"1"), ("./a.jpg", b"2"), ("A.jpg", b"3")]
    for data in (zipped(files), tarred(files)):
        assert reader.refusal(data) == RefusedEntry(1, "a.jpg", "Another entry has the same name.")


def test_all_entries_count_for_their_bound(reader: Reader) -> None:
    files = [("d/", b""), ("../x.jpg", b""), ("a.txt", b""), ("a.jpg", b"")]
    limits = ArchiveLimits(max_file_bytes=10, max_entries=2)  # of files, and of all others
    folder = tarfile.TarInfo("d")
    folder.type = tarfile.DIRTYPE
    for archive in (zipped(files), tarred([(folder, b""), *files[1:]])):
        assert len(reader.all(archive, limits)[0]) == 2
    for archive in (zipped([*files, LAST]), tarred([(folder, b""), *files[1:], LAST])):
        found, ended = reader.all(archive, limits)
        assert len(found) == 2
        assert ended.startswith("The archive has more than 2 entries.")


def test_the_bound_on_unpacked_bytes_holds_in_all(reader: Reader) -> None:
    files = [(f"{n}.jpg", b"x" * 1000) for n in range(5)]
    limits = ArchiveLimits(max_file_bytes=1000, max_unpacked_bytes=4500)
    found, ended = reader.all(zipped(files), limits)
    assert (len(found), ended) == (4, "The archive unpacks to more than 0.0045 MB.")
    found, ended = reader.all(gzip.compress(tarred(files)), limits)
    assert (len(found), ended) == (2, "The archive unpacks to more than 0.0045 MB.")
    skipped = gzip.compress(tarred([("a.txt", bytes(5000)), LAST]))
    assert reader.all(skipped, limits)[1].startswith("The archive unpacks")


RATIO = "The archive unpacks to more than 100 times its size."


@pytest.mark.parametrize("method", METHODS[1:])
def test_a_zip_entry_that_unpacks_too_far_ends_it(reader: Reader, method: int) -> None:
    filler = random.Random(3).randbytes(100_000)
    limits = ArchiveLimits(max_file_bytes=10**9)
    data = zipped([("a.jpg", filler), ("b.jpg", ZEROS * 3)], method)
    found, ended = reader.all(data, limits)
    assert (found, ended) == ([ArchiveEntry(0, "a.jpg", filler)], RATIO)
    assert reader.names(zipped([("a.jpg", ZEROS)], method), limits) == ["a.jpg"]


def test_zip_entries_that_unpack_too_far_together_end_it(reader: Reader) -> None:
    data = zipped([(f"{n}.jpg", ZEROS) for n in range(3)], 8)
    found, ended = reader.all(data, ArchiveLimits(max_file_bytes=10**9))
    assert (len(found), ended) == (1, RATIO)


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz", "zstd"])
def test_a_tar_that_unpacks_too_far_ends(reader: Reader, packing: str) -> None:
    files = [("a.jpg", b"x"), ("b.txt", ZEROS * 3)]
    found, ended = reader.all(PACKERS[packing](tarred(files)), ArchiveLimits(max_file_bytes=10**9))
    assert (len(found), ended) == (1, RATIO)


@pytest.mark.parametrize("packing", ["zip", "tar"])
def test_a_bomb_takes_no_memory(reader: Reader, packing: str) -> None:
    zeros = bytes(30_000_000)  # bzip2 makes 45 MB of 46 bytes, and so does a careless reader
    files = [("b.jpg", zeros)]
    data = zipped(files, zipfile.ZIP_BZIP2) if packing == "zip" else bz2.compress(tarred(files))
    del zeros, files
    tracemalloc.start()
    ended = reader.all(data, ArchiveLimits(max_file_bytes=10**9))[1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ended == RATIO
    assert peak < 4_000_000


def wide_xz(data: bytes) -> bytes:
    """An xz that asks for a dictionary of 4 GB."""
    made = bytearray(lzma.compress(data))
    end = 12 + 4 * made[12]  # of the block's header, without its checksum
    made[12 + 4] = 40
    made[end : end + 4] = struct.pack("<I", zlib.crc32(made[12:end]))
    return bytes(made)


def wide_zstd(data: bytes) -> bytes:
    """A zstd frame of one raw block that asks for a window of 1 GB."""
    return (
        b"\x28\xb5\x2f\xfd\0" + bytes([20 << 3]) + struct.pack("<I", len(data) << 3 | 1)[:3] + data
    )


def test_wide_windows_are_not_granted(reader: Reader) -> None:
    tar = tarred([LAST])
    for data in (wide_xz(tar), wide_zstd(tar)):
        assert reader.all(data)[1].startswith("The packed bytes are damaged: ")
    wide = bytearray(zipped([("a.jpg", b"a"), LAST], zipfile.ZIP_LZMA))
    wide[30 + 5 + 5 : 30 + 5 + 9] = b"\xff\xff\xff\xfe"
    assert "Memory usage limit exceeded" in reader.refusal(bytes(wide)).reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\x89PNG\r\n\x1a\n" + bytes(5000),
        b"x" * 5000,
        b"7z\xbc\xaf\x27\x1c" + bytes(600),
        b"Rar!\x1a\x07\x01\0" + bytes(600),
        b"x" * 400,
    ],
)
def test_what_is_no_archive_is_said_so(reader: Reader, data: bytes) -> None:
    assert reader.all(data) == ([], NOT_AN_ARCHIVE)


def test_an_archive_cut_short_ends_after_what_it_has(reader: Reader) -> None:
    tar = tarred([("a.jpg", b"x" * 600), ("b.jpg", b"y" * 600)])
    whole = ArchiveEntry(0, "a.jpg", b"x" * 600)
    for length, count, reason in (
        (1000, 0, "in the middle of an entry"),
        (1536 + 200, 1, "none, after 1 entries: truncated header"),
        (1536 + 600, 1, "in the middle of an entry"),
        (3072, 2, "none, after 2 entries: empty header"),  # the end mark is missing
    ):
        for pack in PACKERS.values():
            found, ended = reader.all(pack(tar[:length]))
            assert (found[:1], len(found)) == ([whole][:count], count)
            assert reason in ended
    zip_ = zipped([LAST])
    for length in (60, len(zip_) - 25):
        assert reader.all(zip_[:length])[1].startswith("The zip is damaged or cut short: ")


@pytest.mark.parametrize("packing", ["gzip", "bzip2", "xz", "zstd"])
def test_packed_bytes_that_are_damaged_or_no_tar_end_it(reader: Reader, packing: str) -> None:
    pack = PACKERS[packing]
    packed = bytearray(pack(tarred([("a.jpg", random.Random(4).randbytes(900))])))
    assert "cut short" in reader.all(bytes(packed[:500]))[1]
    packed[6:20] = b"\xff" * 14
    assert reader.all(bytes(packed))[1].startswith("The packed bytes are damaged: ")
    assert "none, after 0 entries: invalid header" in reader.all(pack(b"no tar" * 100))[1]
    assert "none, after 0 entries: empty header" in reader.all(pack(b""))[1]


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"X"])
def test_a_tar_header_may_not_be_huge(reader: Reader, kind: bytes) -> None:
    huge = gzip.compress(block(kind, 5_000_000_000) + bytes(100_000))
    assert reader.all(huge) == ([], "A header in the tar has more than 1,000,000 bytes.")
    chain = block(kind, 0) * 2000
    assert reader.all(chain + tarred([LAST])) == (
        [],
        "A header in the tar has more than 1,000,000 bytes.",
    )


def test_a_tar_may_not_lie_about_sizes(reader: Reader) -> None:
    for kind in (tarfile.REGTYPE, b"x"):
        assert reader.all(tarred([LAST])[:1024] + block(kind, -512) + END)[1].endswith(
            "a size is negative."
        )
    assert "in the middle" in reader.all(block(tarfile.REGTYPE, 2**62) + END)[1]
    for size, reason in (("-5", "negative"), ("9" * 5000, "digits"), ("x", "invalid literal")):
        info = tarfile.TarInfo("a.jpg")
        info.pax_headers = {"size": size}
        assert reason in reader.all(tarred([LAST])[:1024] + tarred([(info, b"")]))[1]


@pytest.mark.parametrize(
    "record", [b"0 a=b\n", b"-9 a=b\n", b"99 a=b\n", b"a=b\n", b"2 \n", b"\xff"]
)
def test_a_malformed_pax_header_ends_it(reader: Reader, record: bytes) -> None:
    data = tarred([LAST])[:1024] + block(b"x", len(record)) + padded(record) + tarred([("a", b"")])
    found, ended = reader.all(data)
    assert len(found) == 1
    assert ended.endswith("none, after 1 entries: a pax record is malformed.")


def test_the_directory_of_a_zip_may_not_be_huge(reader: Reader) -> None:
    long = zipfile.ZipInfo("a.jpg")
    long.comment = b"x" * 21_000
    assert reader.all(zipped([(long, b"")])) == (
        [],
        "The zip's directory has more than 20,000 bytes.",
    )


def test_tables_and_sidecars_are_found(reader: Reader) -> None:
    told = reader.annotations(
        {
            "metadata.csv": b"file,caption,n\na.jpg,A,1\n./b/x.jpg,X,2\nb\\y.jpg,,3\n",
            "b/Metadata.JSONL": b'{"file_name": "z.jpg", "text": "Z"}',
            "b/z.jpg.json": b'{"caption": "Z2", "k": 1}',
            "a.jpg.json": b'{"k": 2, "n": 9}',
            "c.jpg.JSON": b'{"metadata": {"k": 3}}',
            "package.json": b"{",
            "other.csv": b"\xff",
            ".hidden/metadata.csv": b"\xff",
            "d.jpg.json": b"{",
            "e.jpg.json": b"x" * 100_001,
            **dict.fromkeys(["a.jpg", "b/z.jpg", "c.jpg", "d.jpg", "e.jpg"], b""),
        }
    )
    assert told.by_name == {
        "a.jpg": Annotation("A", {"n": 9, "k": 2}),
        "b/x.jpg": Annotation("X", {"n": 2}),
        "b/y.jpg": Annotation(None, {"n": 3}),
        "b/z.jpg": Annotation("Z2", {"k": 1}),
        "c.jpg": Annotation(None, {"k": 3}),
    }
    assert told.notes.keys() == {"d.jpg", "e.jpg"}
    assert told.notes["d.jpg"].startswith("The sidecar: this is not JSON")
    assert told.notes["e.jpg"] == "The file has more than 0.1 MB."


def test_names_in_a_table_are_those_of_entries(reader: Reader) -> None:
    table = json.dumps({"file": "./caf\\é\x1b.jpg"}).encode()
    tar = tarred([("./d/caf/é\x1b.jpg", b""), ("./d/metadata.jsonl", table)])
    assert reader.names(tar) == list(annotations(reader.path, LIMITS).by_name)


def test_a_malformed_table_ends_it(reader: Reader) -> None:
    with pytest.raises(ArchiveRejected, match=r"^b/metadata\.csv, line 1: no column"):
        reader.annotations({"b/metadata.csv": b"x\n"})
    reader.path.write_bytes(zipped([("metadata.csv", b"file\n")], flag_bits=1))
    with pytest.raises(ArchiveRejected, match=r"^metadata\.csv: The file is encrypted"):
        annotations(reader.path, LIMITS)


def test_annotations_are_bounded_in_all(reader: Reader) -> None:
    limits = replace(LIMITS, max_annotation_bytes=20)
    one = {"a.jpg.json": b'{"a": 123}'}
    with pytest.raises(ArchiveRejected, match="metadata has more than"):
        reader.annotations(one | {"b.jpg.json": b'{"a": 1234}'}, limits)
    assert reader.annotations(one | {"b.jpg.json": b'{"a": 123}'}, limits).notes == {}


def test_what_comes_before_damage_is_told_and_entries_says_why(reader: Reader) -> None:
    data = tarred([("a.jpg.json", b'{"a": 1}'), ("a.jpg", b"a" * 600), ("b.jpg.json", b"{}")])
    found, ended = reader.all(data[:2500])
    assert (len(found), annotations(reader.path, LIMITS).by_name) == (
        1,
        {"a.jpg": Annotation(None, {"a": 1})},
    )
    assert ended


VALID = [
    zipped(TREE, 8),
    zipped(TREE),
    zipped(TREE, zipfile.ZIP_LZMA),
    tarred(TREE),
    tarred(TREE, tarfile.GNU_FORMAT),
    *(pack(tarred(TREE)) for pack in list(PACKERS.values())[1:]),
]
SMALL = examples(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@SMALL
@given(data=some.binary(max_size=600), head=some.sampled_from([b"", *archives.SIGNATURES]))
def test_random_bytes_end_in_a_sentence(reader: Reader, data: bytes, head: bytes) -> None:
    reader.all(head + data)
    annotations(reader.path, LIMITS)


@SMALL
@given(
    data=some.sampled_from(VALID),
    changes=some.lists(some.tuples(some.integers(0, 2**16), some.binary(max_size=9)), max_size=4),
    cut=some.none() | some.integers(0, 2**16),
)
def test_mutated_archives_end_in_a_sentence(
    reader: Reader, data: bytes, changes: list[tuple[int, bytes]], cut: int | None
) -> None:
    mutated = bytearray(data)
    for at, new in changes:
        mutated[at % len(data) : at % len(data) + len(new)] = new
    found, ended = reader.all(bytes(mutated[: cut and cut % len(data)]))
    assert re.fullmatch(r"[A-Z][^\n]*\.", ended or "None.")
    for one in found:
        assert not re.search("[\0-\x1f\x7f-\x9f\ud800-\udfff]", one.name)
    annotations(reader.path, LIMITS)
