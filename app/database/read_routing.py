"""Which database reads go to: the primary, unless a request was sent to a hot standby of it.

A request that reads from a standby does all of its reading there. A collection's new index that one
database has may not have come to another yet, and a search for it there would find nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, sessionmaker

_standby: ContextVar[Engine | None] = ContextVar("the standby that answers", default=None)


class RoutedSession(Session):
    """A session on the standby that was chosen, if one was."""

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        """As SQLAlchemy's."""
        return _standby.get() or super().get_bind(*arguments, **options)


def engine_of(sessions: sessionmaker[Session]) -> Engine:
    """The engine that a session opened now would use."""
    primary: Engine = sessions.kw["bind"]
    return _standby.get() or primary


def chosen_standby() -> Engine | None:
    """The standby that this thread or task reads from; None: the primary."""
    return _standby.get()


@contextmanager
def reading_from(standby: Engine | None) -> Iterator[None]:
    """Read from that standby meanwhile, or from the primary; threads that are given work too."""
    token = _standby.set(standby)
    try:
        yield
    finally:
        _standby.reset(token)
