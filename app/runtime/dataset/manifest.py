"""What a dataset holds, as it is written into it. A folder whose manifest is there is whole."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.command_names import typed
from app.database.tables import Pages, Storage
from app.errors import DatasetRejected
from app.vectors import Arithmetic, VectorSpace

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000

FileKind = Literal["parquet", "npy"]


class ModelOfVectors(BaseModel):
    """The model that made the vectors: only those of the same fingerprint can be compared."""

    model_config = ConfigDict(frozen=True)

    model: str
    pretrained: str
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    dimensions: int = Field(ge=1, le=4_000)
    precision: Arithmetic | None

    @property
    def space(self) -> VectorSpace:
        """The same as the rest of the program knows it."""
        return VectorSpace(**dict(self))


class Manifest(BaseModel):
    """What a dataset holds; `rows` are counts by table, `without_vector` pictures were left out."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    files: FileKind
    made_at: datetime
    version: str
    namespace: str
    collection: str
    language: str
    fields: dict[str, str]
    pages: Pages
    model: ModelOfVectors
    storage: Storage
    rows: dict[str, int]
    without_vector: int


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a folder. Raises DatasetRejected where there is none that can be read."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            manifest = Manifest.model_validate_json(file.read(MAX_MANIFEST_BYTES))
    except FileNotFoundError as error:
        raise DatasetRejected(
            f"{folder} holds no dataset: {MANIFEST} is missing. Name a folder that "
            f"`{typed('export')}` has written."
        ) from error
    except OSError as error:
        raise DatasetRejected(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "JSON"
        raise DatasetRejected(f"{path} is not a dataset's: {place}: {first['msg']}.") from error
    if manifest.format > FORMAT:
        raise DatasetRejected(
            f"{folder} was written by version {manifest.version}: use that version."
        )
    return manifest
