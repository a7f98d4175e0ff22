"""SQL of the table `idempotency_keys`: requests sent with a key, and the answers they had.

A key is held while its first request is being answered. Whoever answers renews the hold; after a
crash nobody does, and the next request with the key takes it over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.database.access_tables import idempotency_keys

KEPT_HOURS = 24  # from the first request with a key
HOLD_SECONDS = 60  # after so long without a renewal, the key of a dead process is free

T = idempotency_keys.c


@dataclass(frozen=True)
class Attempt:
    """A request with a key: `digest` of caller and key, `request` of what it asks for.

    Both are SHA-256. `holder` tells this request from others with the same key.
    """

    digest: bytes
    request: bytes
    holder: UUID


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as it was given: status, headers in their order, and body."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(frozen=True)
class EarlierRequest:
    """The first request with a key: digests of what it asked for and of its body, and the answer.

    `body` and `answer` are None while it is being answered.
    """

    request: bytes
    body: bytes | None
    answer: StoredAnswer | None


def hold(session: Session, attempt: Attempt) -> EarlierRequest | None:
    """Hold the key for this request and return None; or return the request that has it."""
    row = {
        "request": attempt.request,
        "holder": attempt.holder,
        "held_until": _later(),
        "body": None,
        "status": None,
        "headers": None,
        "answer": None,
        "created_at": func.now(),
    }
    statement = insert(idempotency_keys).values(digest=attempt.digest, **row)
    taken = statement.on_conflict_do_update(
        index_elements=[T.digest], set_=row, where=_is_over()
    ).returning(T.holder)
    while session.execute(taken).first() is None:
        found = session.execute(
            select(T.request, T.body, T.status, T.headers, T.answer).where(
                T.digest == attempt.digest
            )
        ).first()
        if found is not None:  # else it was released in between
            request, body, status, headers, answer = found
            stored = None if status is None else StoredAnswer(status, headers, answer)
            return EarlierRequest(request, body, stored)
    return None


def renew(session: Session, attempt: Attempt) -> None:
    """Hold the key for HOLD_SECONDS from now on."""
    session.execute(
        update(idempotency_keys).where(_is_held_by(attempt)).values(held_until=_later())
    )


def store(session: Session, attempt: Attempt, body: bytes, answer: StoredAnswer) -> None:
    """Keep the answer; `body` is the digest of the request's. Nothing if another has the key."""
    told = {"status": answer.status, "headers": list(answer.headers), "answer": answer.body}
    session.execute(update(idempotency_keys).where(_is_held_by(attempt)).values(body=body, **told))


def release(session: Session, attempt: Attempt) -> None:
    """Forget the request: the next one with the key is the first."""
    session.execute(delete(idempotency_keys).where(_is_held_by(attempt)))


def purge(session: Session) -> None:
    """Delete what is older than KEPT_HOURS and not being answered."""
    session.execute(delete(idempotency_keys).where(_is_old(), _is_over()))


def _later() -> ColumnElement[datetime]:
    return func.now() + timedelta(seconds=HOLD_SECONDS)


def _is_old() -> ColumnElement[bool]:
    return T.created_at < func.now() - timedelta(hours=KEPT_HOURS)


def _is_over() -> ColumnElement[bool]:
    """Whether the key may be used anew: the answer was kept its time, or nobody will answer."""
    is_abandoned = and_(T.status.is_(None), T.held_until < func.now())
    return or_(is_abandoned, and_(T.status.is_not(None), _is_old()))


def _is_held_by(attempt: Attempt) -> ColumnElement[bool]:
    return and_(T.digest == attempt.digest, T.holder == attempt.holder, T.status.is_(None))
