"""API keys made and revoked by those who have one: what the scripts do, for callers of the API."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from app.access import api_keys
from app.access.api_keys import MAX_DAYS, Key, Role
from app.access.authentication import ASK_AGAIN, Authenticator, Caller
from app.command_names import CREATE_ADMIN_KEY, typed
from app.database.connections import Sessions
from app.errors import (
    KeyNotFound,
    KeyRejected,
    LastAdminKey,
    NewKeyOutlives,
    NewKeyRejected,
    RoleRejected,
)

FIRST_KEY = (
    f"The first key is made on the server, by `{CREATE_ADMIN_KEY}`; with an admin's key further "
    "ones can be made here."
)


@dataclass(frozen=True)
class KeyAdministration:
    """Makes, lists and revokes the keys of a namespace for callers whose keys are admins of it.

    A caller without a key is no admin here, even where the service is open to its own machine:
    a first key would lock everybody else out.
    """

    sessions: Sessions
    authenticator: Authenticator

    def create(
        self, caller: Caller, name: str, role: Role, expires_at: datetime | None
    ) -> tuple[Key, str]:
        """A new key of the caller's namespace, with its text, which cannot be recovered later.

        It is valid no longer than the caller's own: without `expires_at`, which has a time zone,
        just as long. Raises RoleRejected, KeyRejected, NewKeyRejected and NewKeyOutlives.
        """
        with self.sessions.begin() as session:
            own = _admin_keys(session, caller)[_id_of(caller)]
            end = _end(expires_at, own.expires_at)
            return api_keys.create(session, own.namespace, name, role, end)

    def newest(self, caller: Caller, before: int | None, limit: int) -> list[Key]:
        """Keys of the caller's namespace with ids below `before`, newest first, valid or not.

        Raises RoleRejected.
        """
        _id_of(caller)
        with self.sessions.begin() as session:
            return api_keys.newest(session, caller.home, before, limit)

    def revoke(self, caller: Caller, key_id: int) -> None:
        """Revoke a key: at once in this process, in others within KEY_SECONDS.

        Raises KeyNotFound for a key of another namespace too, LastAdminKey, RoleRejected, and
        KeyRejected.
        """
        with self.sessions.begin() as session:
            admins = _admin_keys(session, caller)
            key = api_keys.get(session, key_id)
            if key is None or key.namespace != caller.home:
                raise KeyNotFound(f"There is no key {key_id}.")
            if set(admins) == {key_id}:
                raise LastAdminKey(
                    f"Key {key_id} is the last admin key: without it nobody could make keys here. "
                    "Make another one first, or, on the server, run "
                    f"`{typed('revoke-key', ID=key_id)}`."
                )
            api_keys.revoke(session, key_id)
        self.authenticator.forget(key_id)


def _id_of(caller: Caller) -> int:
    """The id of the caller's key. Raises RoleRejected if there is none."""
    if caller.key_id is None:
        raise RoleRejected(FIRST_KEY)
    return caller.key_id


def _admin_keys(session: Session, caller: Caller) -> dict[int, Key]:
    """The valid admin keys of the caller's namespace by id, its own among them, locked.

    Raises RoleRejected for a caller without a key, and KeyRejected for one whose key has just
    become invalid.
    """
    found = {key.id: key for key in api_keys.lock_valid_admins(session, caller.home)}
    if _id_of(caller) not in found:
        raise KeyRejected(f"This key was revoked or has expired: {ASK_AGAIN}.")
    return found


def _end(asked: datetime | None, own: datetime | None) -> datetime | None:
    """When a new key expires that a key makes which expires at `own`.

    Raises NewKeyRejected for a time that is past or too far away, and NewKeyOutlives for one after
    `own`.
    """
    if asked is None:
        return own
    now = datetime.now(UTC)
    if not now < asked <= now + timedelta(days=MAX_DAYS):
        raise NewKeyRejected(f"expires_at: name a time in the next {MAX_DAYS:,} days.")
    if own is not None and asked > own:
        raise NewKeyOutlives(
            f"expires_at: your own key expires on {own.astimezone(UTC):%Y-%m-%d %H:%M} UTC, and "
            "a key made with it cannot be valid longer."
        )
    return asked
