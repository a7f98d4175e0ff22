"""SQL on the identity of this database, the secret kept in it, and its upload stores.

Every function takes a Session and leaves the transaction to its caller.
"""

from datetime import datetime

from sqlalchemy import Column, DateTime, SmallInteger, Table, Text, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.tables import metadata, now_column

installation = Table(
    "installation",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default=text("1")),
    Column("identity", Text, nullable=False),
    Column("secret", Text),  # signs tokens unless JWT_SECRET is set
    Column("backed_up_at", DateTime(timezone=True)),  # the newest backup; null: none was made
    now_column(),
)
"""One row."""

stores = Table(
    "stores",
    metadata,
    Column("identity", Text, primary_key=True),
    Column("folder", Text(collation="C"), nullable=False),  # where it was opened last
    Column("opened_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""The folders of uploads that belong to this database; processes on one disk share one."""


def identity(session: Session) -> str:
    """The random name of this database: 32 hex digits. A dump and its restoration keep it."""
    found: str = session.execute(select(installation.c.identity)).scalar_one()
    return found


def secret(session: Session) -> str | None:
    """The secret that signs tokens, if one is kept here."""
    found: str | None = session.execute(select(installation.c.secret)).scalar_one()
    return found


def keep_secret(session: Session, proposed: str) -> str:
    """Keep the secret unless there is one; returns the one that is kept.

    Of two processes at once, the second waits for the first and takes its secret.
    """
    query = update(installation).where(installation.c.secret.is_(None))
    session.execute(query.values(secret=proposed))
    return secret(session) or proposed


def last_backup(session: Session) -> datetime | None:
    """When the newest backup was made, if there is one."""
    found: datetime | None = session.execute(select(installation.c.backed_up_at)).scalar_one()
    return found


def note_backup(session: Session, made_at: datetime) -> None:
    """Note when a backup was made."""
    session.execute(update(installation).values(backed_up_at=made_at))


def store_folders(session: Session) -> dict[str, str]:
    """The folders in which the stores of this database were opened last, by store identity."""
    return dict(session.execute(select(stores.c.identity, stores.c.folder)).tuples().all())


def note_store(session: Session, store: str, folder: str) -> None:
    """Note that the store was opened in `folder`; unchanged rows are not written again."""
    query = upsert(stores).values(identity=store, folder=folder)
    moved = stores.c.folder != query.excluded.folder
    session.execute(
        query.on_conflict_do_update(
            index_elements=["identity"],
            set_={"folder": query.excluded.folder, "opened_at": func.now()},
            where=moved,
        )
    )
