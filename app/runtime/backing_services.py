"""Connections made from settings: the database, buckets, and the signer of tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from app.access import signed_tokens
from app.access.signed_tokens import Signer
from app.database import database_identity, migrating
from app.database.connections import Sessions
from app.database.embedded.embedded_postgres import embedded_server
from app.settings import Settings
from app.storage.buckets import Buckets

SECRET_FILE = ".secret"  # noqa: S105  # of an earlier version, below the uploads


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The URL of the database; the embedded server runs for the duration, if it is the one used."""
    if settings.database_url:
        yield settings.database_url
        return
    with embedded_server(settings.postgres_dir) as url:
        migrating.create_database(url, settings.database_name)
        mine = make_url(url).set(database=settings.database_name)
        yield mine.render_as_string(hide_password=False)


def open_buckets(settings: Settings) -> Buckets:
    """Access to buckets with the settings' keys; no request is made yet."""
    secret = settings.s3_secret_access_key
    return Buckets(
        settings.s3_endpoint_url,
        settings.s3_access_key_id,
        secret.get_secret_value() if secret else None,
        settings.s3_region,
    )


def open_signer(settings: Settings, sessions: Sessions, uploads: Path) -> Signer:
    """The signer of tokens, with the secret from the settings, or the database's own.

    So all processes of one database accept each other's tokens. An earlier version kept the secret
    below the `uploads`: that one is taken over.
    """
    if settings.jwt_secret is not None:
        return Signer(settings.jwt_secret.get_secret_value())
    with sessions.begin() as session:
        kept = database_identity.secret(session)
    if kept is None:
        proposed = signed_tokens.secret_in(uploads / SECRET_FILE) or signed_tokens.new_secret()
        with sessions.begin() as session:
            kept = database_identity.keep_secret(session, proposed)
    return Signer(kept)
