"""SQL on API keys.

Every function takes a Session and leaves the transaction to its caller. The database stores
only the SHA-256 of a key.
"""

import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from app.command_names import typed
from app.database.access_tables import api_keys
from app.database.connections import is_read_only
from app.errors import KeyNotFound, NewKeyRejected

Role = Literal["reader", "writer", "admin"]
"""What a key permits; each role includes the ones before it."""

ROLES: tuple[Role, ...] = get_args(Role)
MAX_ID = 2**31 - 1  # Postgres's integer
MAX_NAME = 100  # characters
MAX_DAYS = 36_500  # a hundred years; how long a key that ends is valid at most
SECRET_BYTES = 32
LAST_USED_SECONDS = 60  # how far `last_used_at` may lag behind
MAX_KEY = 58  # characters: isk_, ten digits, _ and 43 that spell SECRET_BYTES
KEY = re.compile(r"isk_([1-9][0-9]{0,9})_[A-Za-z0-9_-]{43}")
NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
UNNAMABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode categories: invisible, or line breaks


@dataclass(frozen=True)
class Key:
    """An API key's row; `hash` is the SHA-256 of its text."""

    id: int
    namespace: str
    name: str
    role: Role
    hash: bytes = field(repr=False)
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    created_at: datetime

    @property
    def prefix(self) -> str:
        """How its text begins: it is no secret, and no other key's begins so."""
        return f"isk_{self.id}_"


@dataclass(frozen=True)
class Presented:
    """A well-formed key from a request: the id in it, and its SHA-256."""

    id: int
    hash: bytes


KEY_COLUMNS = [api_keys.c[name] for name in Key.__dataclass_fields__]


def read(presented: str) -> Presented | None:
    """Parse a presented key; None if it is not well-formed."""
    match = KEY.fullmatch(presented) if len(presented) <= MAX_KEY else None
    if match is None or int(match[1]) > MAX_ID:
        return None
    return Presented(int(match[1]), _hash(presented))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("ascii")).digest()


def create(
    session: Session, namespace: str, name: str, role: Role, expires_at: datetime | None
) -> tuple[Key, str]:
    """Create a key; returns it with its text, which cannot be recovered later.

    `expires_at` has a time zone. Raises NewKeyRejected for an invalid namespace or name.
    """
    _check_names(namespace, name)
    # The id is drawn first: it is part of the text that is hashed.
    next_id = text("SELECT nextval(pg_get_serial_sequence('api_keys', 'id'))")
    key_id = session.execute(next_id).scalar_one()
    key = f"isk_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    query = insert(api_keys).values(
        id=key_id,
        namespace=namespace,
        name=name,
        role=role,
        hash=_hash(key),
        expires_at=expires_at,
    )
    return Key(**session.execute(query.returning(*KEY_COLUMNS)).mappings().one()), key


def _check_names(namespace: str, name: str) -> None:
    if not NAMESPACE.fullmatch(namespace):
        raise NewKeyRejected(
            f"namespace: {namespace[:MAX_NAME]!r} is not valid: use 1 to 63 of the letters a "
            "to z, digits, - and _, beginning with a letter or a digit."
        )
    if len(name) > MAX_NAME or any(unicodedata.category(sign) in UNNAMABLE for sign in name):
        raise NewKeyRejected(f"name: use 1 to {MAX_NAME} characters, without control characters.")
    if not name.strip():
        raise NewKeyRejected("name: it is empty; say whose key it is, or what for.")


def get(session: Session, key_id: int) -> Key | None:
    """One key, even if revoked or expired; `key_id` is at most MAX_ID."""
    query = select(*KEY_COLUMNS).where(api_keys.c.id == key_id)
    row = session.execute(query).mappings().one_or_none()
    return Key(**row) if row else None


def listed(session: Session) -> list[Key]:
    """All keys, including revoked and expired ones, oldest first."""
    query = select(*KEY_COLUMNS).order_by(api_keys.c.id)
    return [Key(**row) for row in session.execute(query).mappings()]


def newest(session: Session, namespace: str, before: int | None, limit: int) -> list[Key]:
    """Keys of a namespace with ids below `before`, valid or not, newest first."""
    query = select(*KEY_COLUMNS).where(api_keys.c.namespace == namespace)
    if before is not None:
        query = query.where(api_keys.c.id < before)
    query = query.order_by(api_keys.c.id.desc()).limit(limit)
    return [Key(**row) for row in session.execute(query).mappings()]


def lock_valid_admins(session: Session, namespace: str) -> list[Key]:
    """The valid admin keys of a namespace: nobody else revokes one before the transaction ends."""
    is_valid = api_keys.c.revoked_at.is_(None) & (
        api_keys.c.expires_at.is_(None) | (api_keys.c.expires_at > func.now())
    )
    query = select(*KEY_COLUMNS).where(
        api_keys.c.namespace == namespace, api_keys.c.role == "admin", is_valid
    )
    query = query.order_by(api_keys.c.id).with_for_update()
    return [Key(**row) for row in session.execute(query).mappings()]


def revoke(session: Session, key_id: int) -> Key:
    """Revoke a key; one revoked earlier keeps its date.

    Raises KeyNotFound.
    """
    known = get(session, key_id) if 0 < key_id <= MAX_ID else None
    if known is None:
        raise KeyNotFound(f"There is no key {key_id}: `{typed('list-keys')}` shows all.")
    query = update(api_keys).where(api_keys.c.id == key_id)
    query = query.values(revoked_at=func.coalesce(api_keys.c.revoked_at, func.now()))
    return Key(**session.execute(query.returning(*KEY_COLUMNS)).mappings().one())


def note_use(session: Session, key_id: int) -> None:
    """Set `last_used_at`, unless it was set within the last LAST_USED_SECONDS.

    Never waits: whoever holds the row's lock sets the same value, or revokes the key. A database
    that is read-only is left as it is.
    """
    if is_read_only(session):
        return
    ago = func.now() - timedelta(seconds=LAST_USED_SECONDS)
    is_old = api_keys.c.last_used_at.is_(None) | (api_keys.c.last_used_at < ago)
    old = select(api_keys.c.id).where(api_keys.c.id == key_id, is_old)
    query = update(api_keys).where(api_keys.c.id.in_(old.with_for_update(skip_locked=True)))
    session.execute(query.values(last_used_at=func.now()))


def any_created(session: Session) -> bool:
    """Whether a key was ever created: rows are never deleted."""
    return session.execute(select(select(api_keys.c.id).exists())).scalar_one()
