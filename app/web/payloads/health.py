"""Payloads of the health checks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from app.access.api_keys import Role
from app.web.payloads.examples import with_examples
from app.web.release_notes import NoteGroup


class Liveness(BaseModel):
    """The process answers."""

    model_config = with_examples({"status": "alive"})

    status: Literal["alive"] = Field(description="always alive: a dead process does not answer")


class ReplicaState(BaseModel):
    """A replica of the database, without its name: everybody may see this."""

    status: Literal["in_use", "behind", "down"] = Field(
        description="in_use: it answers searches; behind: too far behind the primary to do so; "
        "down: it does not answer, or is no replica of this database"
    )
    lag_seconds: float | None = Field(
        description="how far it was behind the primary when both answered last; null: unknown"
    )


class Readiness(BaseModel):
    """The service is ready, and what it runs."""

    model_config = with_examples(
        {
            "status": "ready",
            "accepts_changes": True,
            "replicas": [{"status": "in_use", "lag_seconds": 0.0}],
            "model": "demo model",
            "device": "cpu",
            "precision": "fp32",
            "version": "0.2.0",
            "images": 295,
        }
    )

    status: Literal["ready"] = Field(description="always ready: otherwise the status is 503")
    accepts_changes: bool = Field(
        description="false: the primary database does not answer, and only its replicas do"
    )
    replicas: list[ReplicaState] = Field(
        description="those of IMAGE_SEARCH_READ_DATABASE_URL, in its order"
    )
    model: str = Field(description="name of the model; `demo model` is the bundled one")
    device: str = Field(description="where the model runs: cpu, cuda, …")
    precision: str = Field(description="the model's number format: fp32, bf16, …")
    version: str | None = Field(
        description="version of the program; null where a key is needed to see it"
    )
    images: int | None = Field(
        description="number of pictures in the default collection; null where a key is needed to "
        "see them"
    )


class ServiceStatus(BaseModel):
    """What the people who use the service are told about it."""

    model_config = with_examples(
        {
            "version": "0.2.0",
            "role": "reader",
            "free_disk_bytes": 120_000_000_000,
            "backed_up_at": "2026-11-28T03:00:00Z",
            "max_file_bytes": 100_000_000,
            "max_megapixels": 100.0,
        }
    )

    version: str = Field(description="version of the program; CHANGELOG.md says what is new in it")
    role: Role = Field(description="what the caller may do, as docs/security.md says")
    free_disk_bytes: int | None = Field(
        description="room on the disk of uploaded files, in bytes; null for keys of other "
        "namespaces than `default`, and where the disk does not say"
    )
    backed_up_at: datetime | None = Field(
        description="when the newest backup was made; null: none was, or as above"
    )
    max_file_bytes: int = Field(description="a picture's file may have so many")
    max_megapixels: float = Field(description="a picture may have so many")


class ReleaseNoteGroup(BaseModel):
    """Notes under one heading."""

    title: str = Field(description="Added, Changed, Fixed, …")
    notes: list[str] = Field(description="a sentence or more each; code is between backticks")


class ReleaseNotes(BaseModel):
    """What is new in the running version."""

    model_config = with_examples(
        {
            "version": "0.2.0",
            "data": [{"title": "Added", "notes": ["`make start`: one command for everything."]}],
        }
    )

    version: str = Field(description="version of the program")
    data: list[ReleaseNoteGroup] = Field(
        description="empty where the program was installed without its changelog"
    )

    @classmethod
    def of(cls, version: str, groups: Sequence[NoteGroup]) -> Self:
        """The payload of a version's notes."""
        listed = [ReleaseNoteGroup(title=one.title, notes=list(one.notes)) for one in groups]
        return cls(version=version, data=listed)
