"""Whole backups, as they are found in a place, read and checked."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from app.command_names import typed
from app.errors import BackupFailed
from app.runtime.backup.manifest import (
    DUMP,
    FILES,
    FORMAT,
    HASHED_NAME,
    MANIFEST,
    UPLOADS,
    Manifest,
)
from app.runtime.backup.places import Place


@dataclass(frozen=True)
class Backup:
    """A backup of that name in a place; `known` is its manifest if that is not there yet."""

    place: Place
    stamp: str
    known: Manifest | None = None

    def __str__(self) -> str:
        return f"{self.place}/{self.stamp}"

    def dump(self) -> AbstractContextManager[Path]:
        """The database on this machine, as pg_dump wrote it. Raises BackupFailed if damaged."""
        return self.place.local(f"{self.stamp}/{DUMP}")

    def manifest(self) -> Manifest:
        """What it holds. Raises BackupFailed where that is damaged or of a later format."""
        if self.known is not None:
            return self.known
        data = b"".join(self.place.read(f"{self.stamp}/{MANIFEST}"))
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            raise BackupFailed(f"{self}/{MANIFEST} cannot be read: {error}") from error
        if manifest.format > FORMAT:
            raise BackupFailed(f"{self} was made by version {manifest.version}: use that version.")
        return manifest

    def files(self) -> Iterator[str]:
        """The names of its uploads, relative to the folder of uploads."""
        with self.place.local(f"{self.stamp}/{FILES}") as path:
            try:
                with path.open(encoding="utf-8") as lines:
                    for line in lines:
                        yield line.rstrip("\n")
            except OSError as error:
                raise BackupFailed(f"{self}/{FILES} cannot be read: {error.strerror}") from error

    def check_dump(self) -> None:
        """Read the dump. Raises BackupFailed if it is missing or damaged."""
        if sha256(self.place.read(f"{self.stamp}/{DUMP}")) != self.manifest().dump_sha256:
            raise BackupFailed(
                f"{self}/{DUMP} is damaged: its SHA-256 is not that of the manifest."
            )

    def check(self) -> None:
        """Read all of it. Raises BackupFailed, naming the first part that is missing or damaged."""
        self.check_dump()
        for name in self.files():
            self.read_upload(name)

    def read_upload(self, name: str, copy: BinaryIO | None = None) -> None:
        """Read an upload, into `copy` if that is given.

        Raises BackupFailed where it is missing, or not what its name says.
        """
        pieces = self.place.read(f"{UPLOADS}/{name}")
        found = sha256(pieces if copy is None else _copied(pieces, copy))
        named = HASHED_NAME.match(name.rpartition("/")[2])
        if named and named[1] != found:
            raise BackupFailed(f"{self.place}/{UPLOADS}/{name} is damaged.")


def _copied(pieces: Iterable[bytes], copy: BinaryIO) -> Iterator[bytes]:
    for piece in pieces:
        copy.write(piece)
        yield piece


def sha256(pieces: Iterable[bytes]) -> str:
    """In hex."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def list_backups(place: Place) -> list[Backup]:
    """The whole backups in a place, oldest first. Raises BackupFailed."""
    return [Backup(place, stamp) for stamp in place.stamps()]


def find_backup(place: Place, stamp: str | None) -> Backup:
    """The backup of that name, or the newest. Raises BackupFailed."""
    found = list_backups(place)
    chosen = [one for one in found if stamp in {None, one.stamp}]
    if not chosen:
        if not found:
            raise BackupFailed(
                f"There is no backup in {place}: name the folder or bucket of `{typed('backup')}`."
            )
        names = ", ".join(one.stamp for one in found)
        raise BackupFailed(f"{place} has no backup {stamp}; there are: {names}.")
    return chosen[-1]
