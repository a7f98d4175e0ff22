"""Waiting for locks in Postgres: briefly and again for those of tables, and advisory ones."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Boolean, Function, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.database.connections import Sessions

T = TypeVar("T")

LOCK_TIMEOUT_MS = 1_500  # above Postgres's deadlock_timeout, after which an autovacuum yields
LOCK_ATTEMPTS = 5
LOCK_PAUSE_SECONDS = 1.0


def retry_on_lock(
    sessions: Sessions, work: Callable[[Session], T], timeout_ms: int = LOCK_TIMEOUT_MS
) -> T:
    """Run `work` in a transaction with a short lock timeout, because others queue behind its wait.

    After a lock timeout or a deadlock it is run again from the start after LOCK_PAUSE_SECONDS, at
    most LOCK_ATTEMPTS times in all. Raises the OperationalError of the last attempt.
    """
    for remaining in reversed(range(LOCK_ATTEMPTS)):
        try:
            with sessions.begin() as session:
                session.execute(select(func.set_config("lock_timeout", str(timeout_ms), True)))
                return work(session)
        except OperationalError as error:
            if not (remaining and isinstance(error.orig, (LockNotAvailable, DeadlockDetected))):
                raise
        time.sleep(LOCK_PAUSE_SECONDS)
    raise AssertionError  # unreachable: the last attempt returns or raises


@contextmanager
def alone(sessions: Sessions, name: str) -> Iterator[bool]:
    """Whether no other process holds the advisory lock `name`; it is held meanwhile."""
    with sessions.begin() as session:
        taken = try_lock(session, name)
        # A statement's snapshot lasts until the next one, and this needs none: else indexes that
        # are built concurrently would wait for the end of this transaction.
        session.execute(text("SAVEPOINT alone"))
        yield taken


def try_lock(session: Session, name: str) -> bool:
    """Take the advisory lock `name` until the transaction ends; False if another has it."""
    taken: bool = session.execute(select(takes_lock(name))).scalar_one()
    return taken


def takes_lock(name: Any) -> Function[bool]:
    """The same for a statement that goes on from there; `name` may be a parameter."""
    return func.pg_try_advisory_xact_lock(func.hashtextextended(name, 0), type_=Boolean)
