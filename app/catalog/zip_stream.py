"""Original files as a zip, written while it is read: neither on disk nor whole in memory."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from sqlalchemy import select

from app.catalog.gallery import Gallery
from app.catalog.images.image_names import last_part
from app.catalog.originals import InBucket, OnDisk, Streamed
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.errors import ImageNotFound, ImageSearchError, SelectionTooLarge
from app.pictures.formats import type_and_suffix
from app.storage.bounded_reads import ORIGINALS

MAX_ZIP_BYTES = 2_000_000_000  # of the pictures together: below what needs ZIP64
PIECE_BYTES = 1_000_000  # read from a file and sent at a time
MAX_NAME_CHARACTERS = 150
MISSING = "missing.txt"  # an entry that names the files that could not be read
YEARS = range(1980, 2108)  # that an entry can be dated to


def zipped(gallery: Gallery, collection_id: int, image_ids: Sequence[int]) -> Iterator[bytes]:
    """The bytes of a zip of those of the pictures that the collection has, in their order.

    Entries are stored, not deflated: pictures are compressed already. A file that is gone when its
    turn comes is named in the entry MISSING. Raises ImageNotFound if the collection has none of
    them, and SelectionTooLarge, both before anything is read.
    """
    chosen = _chosen(gallery, collection_id, image_ids)
    size = sum(image.bytes for image in chosen)
    if not chosen:
        raise ImageNotFound("The collection has none of these pictures.")
    if size > MAX_ZIP_BYTES:
        raise SelectionTooLarge(
            f"These pictures have {size / 1e9:.1f} GB together; a zip may have "
            f"{MAX_ZIP_BYTES / 1e9:.0f} GB. Download them in several parts."
        )
    return _pieces(gallery, chosen)


def _chosen(gallery: Gallery, collection_id: int, image_ids: Sequence[int]) -> list[Image]:
    query = select(*IMAGE_COLUMNS).where(
        images.c.id.in_(image_ids), images.c.collection_id == collection_id, PRESENT
    )
    with gallery.sessions.begin() as session:
        found = {row["id"]: Image.of(row) for row in session.execute(query).mappings()}
    return [found[image_id] for image_id in dict.fromkeys(image_ids) if image_id in found]


def unique_names(chosen: Sequence[Image]) -> list[str]:
    """A file name for each picture: its own, numbered where several have the same."""
    taken = {MISSING}
    names = []
    for image in chosen:
        plain = _name_of(image)
        stem, suffix = PurePosixPath(plain).stem, PurePosixPath(plain).suffix
        name, count = plain, 1
        while name.casefold() in taken:  # some disks ignore case
            count += 1
            name = f"{stem} ({count}){suffix}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _name_of(image: Image) -> str:
    """The last part of where it came from, without what file systems do not take."""
    submitted = last_part((image.origin or image.path).replace("\\", "/"))
    name = "".join(c if c.isprintable() and c not in '\\/:*?"<>|' else "_" for c in submitted)
    _, suffix = type_and_suffix(image.format)
    if "." not in name.strip("."):
        name = (name.strip(". ") or str(image.id)) + suffix
    return name[-MAX_NAME_CHARACTERS:]


class _Sink(io.RawIOBase):
    """Keeps what is written until it is taken; cannot be sought, so sizes follow the files."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def _pieces(gallery: Gallery, chosen: Sequence[Image]) -> Iterator[bytes]:
    sink = _Sink()
    missing = []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for image, name in zip(chosen, unique_names(chosen), strict=True):
            try:
                original = gallery.original(image.id, may_redirect=False)
            except ImageSearchError as error:
                missing.append(f"{name}: {error}\n")
                continue
            yield from _entry(archive, sink, _info(image, name), original)
        if missing:
            archive.writestr(MISSING, "".join(missing))
    yield sink.take()


def _info(image: Image, name: str) -> zipfile.ZipInfo:
    """Dated by when it was taken, or else added."""
    moment = image.taken_local or image.taken_at or image.created_at
    dated = moment if moment.year in YEARS else image.created_at
    info = zipfile.ZipInfo(name, dated.timetuple()[:6])
    info.external_attr = 0o644 << 16
    return info


def _entry(
    archive: zipfile.ZipFile,
    sink: _Sink,
    info: zipfile.ZipInfo,
    original: OnDisk | InBucket | Streamed,
) -> Iterator[bytes]:
    with archive.open(info, "w") as entry:
        for piece in _read(original):
            entry.write(piece)
            yield sink.take()


def _read(original: OnDisk | InBucket | Streamed) -> Iterator[bytes]:
    """The bytes of a file. Raises SourceUnavailable if its disk or bucket stops answering."""
    if isinstance(original, Streamed):
        yield from original.opened
    elif isinstance(original, OnDisk):
        file = original.file
        with file:
            file.seek(0)  # its first bytes were read to know its kind
            while piece := ORIGINALS.call(original.path, lambda beat: file.read(PIECE_BYTES)):
                yield piece
