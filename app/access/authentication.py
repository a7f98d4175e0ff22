"""Authentication: the caller behind an API key, or behind a request without one."""

import hmac
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv6Address, ip_address
from typing import Literal, Protocol, TypeVar

from app.access import api_keys
from app.access.api_keys import Key, Presented
from app.catalog.collections import DEFAULT_NAMESPACE
from app.command_names import CREATE_ADMIN_KEY
from app.database.connections import Sessions
from app.errors import KeyRejected, SettingsInvalid

T = TypeVar("T")

Role = api_keys.Role
Anonymous = Literal["none", "read"]
"""What callers without a key may do once keys exist."""

KEY_SECONDS = 2.0  # how long a lookup is cached: a revocation takes effect within that
MAX_CACHED = 1024  # keys
NO_HASH = bytes(32)  # compared where the id is unknown: both cases take equally long
ASK = "ask the person who runs this library for one"
ASK_AGAIN = "ask the person who runs this library for a new one"
HOW = (
    "Programs send a key in the header Authorization: Bearer <key> or X-API-Key: <key>; "
    f"`{CREATE_ADMIN_KEY}` on the server makes one that may do everything."
)
"""What programmers are told after the sentence for everybody."""
ALLOWED: dict[Role, str] = {
    "reader": "searching and looking at pictures",
    "writer": "adding, changing and deleting pictures",
    "admin": "managing the library",
}
"""What each role is for, in words for everybody; each includes the ones before it."""


@dataclass(frozen=True)
class Caller:
    """The caller of a request: a key, or somebody without one.

    Restricted to one namespace; None means all of them, when the service is open.
    """

    role: Role
    namespace: str | None
    key_id: int | None = None
    name: str = "anonymous"

    def may(self, role: Role) -> bool:
        """Whether the caller has at least `role`."""
        return api_keys.ROLES.index(self.role) >= api_keys.ROLES.index(role)

    @property
    def is_stranger(self) -> bool:
        """Whether the caller is anonymous on a service with keys, allowed to read and no more."""
        return self.key_id is None and self.namespace is not None

    def reaches(self, namespace: str) -> bool:
        """Whether the caller may access `namespace`."""
        return self.namespace in {None, namespace}

    @property
    def home(self) -> str:
        """The namespace used where a request names none."""
        return DEFAULT_NAMESPACE if self.namespace is None else self.namespace

    def lacks(self, role: Role) -> str:
        """Why the caller may not do what needs `role`, in words for everybody."""
        needed = f"{ALLOWED[role]} needs a key with the role {role}; {ASK}."
        if self.is_stranger:
            return f"Without a key this library is for {ALLOWED[self.role]}: {needed} {HOW}"
        return f"Your key is for {ALLOWED[self.role]} (role {self.role}): {needed}"


OPEN = Caller("admin", None)
READER = Caller("reader", DEFAULT_NAMESPACE)


class Read(Protocol):
    """Runs what reads the database."""

    def __call__(self, work: Callable[[], T]) -> T:
        """What `work` returns."""


@dataclass(frozen=True)
class CachedKey:
    """A cached lookup; `until` is a reading of the monotonic clock, in seconds."""

    caller: Caller
    expires_at: datetime | None
    until: float


class Authenticator:
    """Authenticates callers; lookups are cached for KEY_SECONDS. Thread-safe.

    `loopback`: only this machine can reach the service, which is open then while no key exists.
    `read` runs what reads the database, again on a replica if the primary is down.
    """

    def __init__(
        self,
        sessions: Sessions,
        anonymous: Anonymous,
        *,
        loopback: bool,
        read: Read | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._anonymous = anonymous
        self._loopback = loopback
        self._read = read or _read_once
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: OrderedDict[bytes, CachedKey] = OrderedDict()  # by the key's SHA-256
        self._revocations = 0  # how often a key was forgotten
        self._is_locked = False
        self._unlocked_at = -float("inf")

    def cached(self, presented: str | None) -> Caller | None:
        """The caller, if known without the database; otherwise None, and `caller` looks it up."""
        if presented is None:
            locked = self._known_lock() if self._loopback else True
            return None if locked is None else self._keyless(is_open=not locked)
        key = api_keys.read(presented)
        return self._recall(key) if key else None

    def caller(self, presented: str | None) -> Caller:
        """The caller; may query the database.

        Raises KeyRejected with the reason, never quoting the key: an invalid key is refused even
        where none is needed.
        """
        known = self.cached(presented)
        if known is not None:
            return known
        if presented is not None:
            return self._look_up(presented)
        keyless = self._keyless(is_open=self._loopback and not self.is_locked())
        if keyless is None:
            raise KeyRejected(f"This needs a key: {ASK}. {HOW}")
        return keyless

    def is_locked(self) -> bool:
        """Whether a key was ever created, even if it is revoked or expired by now."""
        known = self._known_lock()
        if known is not None:
            return known
        asked = self._clock()
        if self._read(self._any_created):
            self._is_locked = True  # for good: keys are never deleted
        else:
            self._unlocked_at = asked
        return self._is_locked

    def _any_created(self) -> bool:
        with self._sessions() as session:
            return api_keys.any_created(session)

    def _known_lock(self) -> bool | None:
        if self._is_locked:
            return True
        return False if self._clock() - self._unlocked_at < KEY_SECONDS else None

    def _keyless(self, *, is_open: bool) -> Caller | None:
        """The caller of a request without a key; None if a key is required."""
        if is_open:
            return OPEN
        return READER if self._anonymous == "read" else None

    def _recall(self, key: Presented) -> Caller | None:
        with self._lock:
            found = self._cache.get(key.hash)
        if found is None or self._clock() >= found.until or _is_past(found.expires_at):
            return None
        return found.caller

    def _look_up(self, presented: str) -> Caller:
        key = api_keys.read(presented)
        if key is None:
            raise _unknown()
        asked, before = self._clock(), self._revocations  # no cache outlives a revocation
        found = self._read(partial(self._used, key))
        caller = Caller(found.role, found.namespace, found.id, found.name)
        self._remember(key, CachedKey(caller, found.expires_at, asked + KEY_SECONDS), before)
        return caller

    def _used(self, key: Presented) -> Key:
        with self._sessions.begin() as session:
            found = _verified(api_keys.get(session, key.id), key)
            api_keys.note_use(session, found.id)
        return found

    def forget(self, key_id: int) -> None:
        """Look the key up anew at its next request, since it has been revoked."""
        with self._lock:
            self._revocations += 1
            for digest, found in list(self._cache.items()):
                if found.caller.key_id == key_id:
                    del self._cache[digest]

    def _remember(self, key: Presented, found: CachedKey, revocations: int) -> None:
        """Cache a lookup that began after so many revocations, unless there was one since."""
        with self._lock:
            if self._revocations != revocations:
                return
            self._cache[key.hash] = found
            self._cache.move_to_end(key.hash)
            while len(self._cache) > MAX_CACHED:
                self._cache.popitem(last=False)  # least recently used


def _read_once(work: Callable[[], T]) -> T:
    return work()


def _verified(found: Key | None, key: Presented) -> Key:
    """The key, if valid. Why it no longer is, is only told to those who hold all of it."""
    is_same = hmac.compare_digest(found.hash if found else NO_HASH, key.hash)
    if found is None or not is_same:
        raise _unknown()
    if found.revoked_at is not None:
        raise KeyRejected(f"This key was revoked: {ASK_AGAIN}. {HOW}")
    if found.expires_at is not None and _is_past(found.expires_at):
        when = found.expires_at.astimezone(UTC)
        raise KeyRejected(f"This key expired on {when:%Y-%m-%d %H:%M} UTC: {ASK_AGAIN}. {HOW}")
    return found


def _unknown() -> KeyRejected:
    return KeyRejected(
        f"This key is unknown here: check that all of it was copied, or {ASK_AGAIN}. {HOW}"
    )


def _is_past(moment: datetime | None) -> bool:
    return moment is not None and moment <= datetime.now(UTC)


def check_address(host: str, anonymous: Anonymous, sessions: Sessions) -> None:
    """Raise SettingsInvalid if `host` is reachable from outside and no key protects it."""
    if anonymous == "read" or is_loopback(host):
        return
    with sessions() as session:
        if api_keys.any_created(session):
            return
    raise SettingsInvalid(
        f"IMAGE_SEARCH_API_HOST={host} can be reached from other machines, and there is no API "
        "key: anyone who reaches it could read and delete everything. Make a key first: "
        f"`{CREATE_ADMIN_KEY}`; or set "
        "IMAGE_SEARCH_ALLOW_ANONYMOUS=read to allow anonymous read access."
    )


def is_loopback(host: str) -> bool:
    """Whether `host`, an address or a name, can only be reached from this machine.

    A name is resolved: all its addresses must be loopback, and it must have one.
    """
    if not host:
        return False  # listens on every address of this machine
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return bool(found) and all(_is_local(str(one[4][0])) for one in found)
    except (OSError, ValueError):  # an unknown or malformed name
        return False


def _is_local(text: str) -> bool:
    address = ip_address(text.partition("%")[0])  # without the interface
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return address.is_loopback
