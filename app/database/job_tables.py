"""The tables of jobs and of the files that they work on."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.tables import metadata, now_column

OUTCOMES = (
    "added",
    "changed",
    "moved",
    "removed",
    "unchanged",
    "duplicate",
    "gone",
    "failed",
    "cancelled",
)
"""The possible outcomes of a job item; `jobs` has a counter column for each."""


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"))


jobs = Table(
    "jobs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("source", JSONB, nullable=False),
    Column("mode", Text, nullable=False),  # add | sync
    Column("dry_run", Boolean, nullable=False),
    Column("queue", Text, nullable=False),  # procrastinate's: which workers can read the source
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("reason", Text),  # why the job as a whole failed
    Column("code", Text),  # of the reason, as of a problem; null: it has none
    Column("waiting", Text),  # why it makes no progress now
    Column("waiting_code", Text),
    Column("checkpoint", Text(collation="C")),  # the source is listed up to here
    Column("listed", Boolean, nullable=False, server_default=text("false")),
    _count("total"),
    *(_count(outcome) for outcome in OUTCOMES),
    _count("ignored"),  # names that IGNORED_NAMES passes over; not part of the total
    _count("companions"),  # sidecars and clips of pictures; not part of the total
    now_column(),
    Column("started_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("finished_at", DateTime(timezone=True)),
    Column("webhook_url", Text),  # where to report the end; null: nowhere
    Column("webhook_id", Text),  # of the last report
    Column("webhook_status", Text, nullable=False, server_default=text("'waiting'")),
    Column("webhook_attempts", Integer, nullable=False, server_default=text("0")),
    Column("webhook_reason", Text),  # why the last attempt failed
    Index("jobs_open_idx", "id", postgresql_where=text("finished_at IS NULL")),
)

job_items = Table(
    "job_items",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("bytes", BigInteger),
    Column("removal", Boolean, nullable=False, server_default=text("false")),
    Column("staged", Text),  # the file name of its bytes in the incoming store
    Column("caption", Text),
    Column("metadata", JSONB),
    Column("sidecars", JSONB(none_as_null=True)),  # their names, beside the file
    Column("taken", JSONB(none_as_null=True)),  # when it was taken, by its sidecar
    Column("derived_place", JSONB(none_as_null=True)),  # named from its sidecar's position
    Column("state", Text, nullable=False, server_default=text("'pending'")),
    Column("outcome", Text),  # one of OUTCOMES
    Column("reason", Text),
    Column("code", Text),  # of the reason
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column(
        "leases", Integer, nullable=False, server_default=text("0")
    ),  # how often a worker took it
    Column("worker", Text),  # host:pid of the last one
    Column("image_id", BigInteger),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "job_id", "state", "id"),
    Index(None, "job_id", "id"),
)
