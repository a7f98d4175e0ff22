"""What a backup is, as it is written into it, and what its parts are called.

Below the place of backups there is a folder for each, named after the moment, and one for the
uploaded files of all: their names tell their content, so a file that is in an earlier backup is not
copied again. A backup whose manifest is there is whole.
"""

import re
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

FORMAT = 1
STAMP = "%Y%m%dT%H%M%SZ"
STAMPED = re.compile(r"\d{8}T\d{6}Z")
UPLOADS = "uploads"
MANIFEST, DUMP, FILES, SETTINGS = "manifest.json", "database.dump", "uploads.txt", "settings.env"
HASHED_NAME = re.compile(r"^([0-9a-f]{64})\b")  # of a file that is named after its SHA-256
CHUNK = 1_048_576  # bytes read at a time


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
    """What a backup holds; `files` counts uploads, `dump_sha256` is of the database's dump.

    `database` is the identity of the database; former versions wrote none.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    made_at: datetime
    database: str | None = None
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
