"""What a backup is, as it is written into it, and where its parts lie.

A folder of backups has a folder for each, named after the moment, and one for the uploaded files of
all: their names tell their content, so a file that is in an earlier backup is not copied again.
A backup whose manifest is there is whole.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import BackupFailed

FORMAT = 1
STAMP = "%Y%m%dT%H%M%SZ"
STAMPED = re.compile(r"\d{8}T\d{6}Z")
UPLOADS = "uploads"
MANIFEST, DUMP, FILES, SETTINGS = "manifest.json", "database.dump", "uploads.txt", "settings.env"
HASHED_NAME = re.compile(r"^([0-9a-f]{64})\b")  # of a file that is named after its SHA-256
CHUNK = 1_048_576  # bytes hashed at a time


class BackedUpIndex(BaseModel):
    """A collection's index, and the model that its vectors need."""

    model_config = ConfigDict(frozen=True)

    namespace: str
    collection: str
    model: str
    pretrained: str
    fingerprint: str
    vectors: int


class Manifest(BaseModel):
    """What a backup holds; `files` counts uploads, `dump_sha256` is of the database's dump."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    made_at: datetime
    version: str
    schema_revision: str
    postgres: int
    pictures: int
    files: int
    dump_sha256: str
    indexes: tuple[BackedUpIndex, ...]

    @property
    def stamp(self) -> str:
        """The name of its folder."""
        return self.made_at.astimezone(UTC).strftime(STAMP)


class Backup:
    """A whole backup in a folder of backups."""

    def __init__(self, folder: Path, stamp: str) -> None:
        self.folder = folder / stamp
        self.uploads = folder / UPLOADS

    @property
    def dump(self) -> Path:
        """The database, as pg_dump wrote it."""
        return self.folder / DUMP

    def manifest(self) -> Manifest:
        """What it holds. Raises BackupFailed where that is damaged or of a later format."""
        try:
            manifest = Manifest.model_validate_json((self.folder / MANIFEST).read_bytes())
        except (OSError, ValidationError) as error:
            raise BackupFailed(f"{self.folder / MANIFEST} cannot be read: {error}") from error
        if manifest.format > FORMAT:
            raise BackupFailed(f"{self.folder} was made by version {manifest.version}: use that.")
        return manifest

    def files(self) -> Iterator[str]:
        """The names of its uploads, relative to the folder of uploads."""
        with (self.folder / FILES).open(encoding="utf-8") as lines:
            for line in lines:
                yield line.rstrip("\n")

    def check(self) -> None:
        """Read all of it. Raises BackupFailed, naming the first part that is missing or damaged."""
        if sha256(self.dump) != self.manifest().dump_sha256:
            raise BackupFailed(f"{self.dump} is damaged: its SHA-256 is not that of the manifest.")
        for name in self.files():
            check_upload(self.uploads / name)


def check_upload(path: Path) -> None:
    """Raises BackupFailed where a file is missing, or not what its name says."""
    named = HASHED_NAME.match(path.name)
    if not path.is_file() or (named and named[1] != sha256(path)):
        raise BackupFailed(f"{path} is {'damaged' if path.is_file() else 'missing'}.")


def sha256(path: Path) -> str:
    """In hex. Raises BackupFailed where the file cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                found.update(piece)
    except OSError as error:
        raise BackupFailed(f"{path} cannot be read: {error.strerror}") from error
    return found.hexdigest()


def list_backups(folder: Path) -> list[Backup]:
    """The whole backups in a folder, oldest first."""
    found = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
    return [Backup(folder, path.name) for path in found if STAMPED.fullmatch(path.name)]


def find_backup(folder: Path, stamp: str | None) -> Backup:
    """The backup of that name, or the newest. Raises BackupFailed."""
    found = list_backups(folder)
    chosen = [one for one in found if stamp in {None, one.folder.name}]
    if not chosen:
        if not found:
            raise BackupFailed(f"There is no backup in {folder}: name the folder of `make backup`.")
        names = ", ".join(one.folder.name for one in found)
        raise BackupFailed(f"{folder} has no backup {stamp}; there are: {names}.")
    return chosen[-1]
