"""Makes a backup while the service runs: uploads, the database at one moment, uploads again.

A file that is deleted meanwhile was copied before the dump, and one that is added before the dump
is copied after it: so each row of the dump has its file.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app import VERSION
from app.database import connections, database_identity, dumps, schema_revisions
from app.database.access_tables import api_keys
from app.database.tables import PRESENT, VectorIndex, collections, images
from app.errors import BackupFailed, NothingToBackUp
from app.index import vector_indexes
from app.runtime import backing_services
from app.runtime.backup.backups import Backup, list_backups, sha256
from app.runtime.backup.manifest import (
    CHUNK,
    DUMP,
    FILES,
    MANIFEST,
    SETTINGS,
    BackedUpIndex,
    Manifest,
)
from app.runtime.backup.places import Place
from app.runtime.backup.verification import verify
from app.runtime.stores import ASIDE, open_stores
from app.settings import Settings
from app.storage.disk import PART, TRASH, whole_file

log = logging.getLogger(__name__)

NOT_COPIED = (TRASH, PART, ASIDE)  # beginnings of names: what was deleted, is unfinished, another's


def make_backup(
    settings: Settings, place: Place, keep: int | None = None, *, is_verified: bool = False
) -> Manifest:
    """Add a backup to a place, and delete all but the newest `keep` ones.

    Where it is to be verified, it is restored in a temporary place, and its tables and answers are
    compared with those of the database at the moment of the dump. A failure to delete older ones is
    logged: the backup was made, and the next one deletes them.
    Raises BackupFailed, and then no backup was added and none deleted.
    """
    try:
        with backing_services.database(settings) as url:
            return _make(settings, url, place, keep, is_verified=is_verified)
    except OSError as error:
        raise BackupFailed(f"{error.filename or place}: {error.strerror or error}") from error


def _make(
    settings: Settings, url: str, place: Place, keep: int | None, *, is_verified: bool
) -> Manifest:
    engine = connections.open_engine(url)
    try:
        sessions = connections.open_sessions(engine)
        with sessions.begin() as session:
            _check_used(session)
        store = open_stores(settings, sessions).uploads.folder
        with place.alone(sessions):
            with sessions.begin() as session:
                _check_own(place, database_identity.identity(session))
            manifest = _add(settings, (engine, url), place, store, is_verified=is_verified)
            unnoted = _following(place, manifest, "the database has not noted it")
            with unnoted, sessions.begin() as session:
                database_identity.note_backup(session, manifest.made_at)
            if keep is not None:
                with _following(place, manifest, "older ones were not deleted"):
                    _rotate(place, keep)
    finally:
        engine.dispose()
    return manifest


def _add(
    settings: Settings,
    database: tuple[Engine, str],
    place: Place,
    store: Path,
    *,
    is_verified: bool,
) -> Manifest:
    engine, url = database
    with place.staging() as part:
        files = set(_copy(store, place))
        with dumps.snapshot(engine) as (session, snapshot):
            dumps.dump(session, url, snapshot, part / DUMP)
            files |= set(_copy(store, place))
            manifest = _describe(session, part, sum(not one.startswith(".") for one in files))
            _write(part, manifest, files)
            if manifest.stamp in place.stamps():
                raise BackupFailed(f"{place} already has a backup from this second: try again.")
            try:
                sent = place.send(part, manifest.stamp)
                if is_verified:
                    verify(settings, session, Backup(place, sent, manifest))
                place.publish(part, manifest.stamp)
            except BaseException:
                with suppress(BackupFailed):  # what is left is no backup, and goes with the next
                    place.delete(manifest.stamp)
                raise
    return manifest


def _check_used(session: Session) -> None:
    """Raises NothingToBackUp where nothing was ever kept: most likely another database was meant.

    Raises DatabaseUnusable where the schema is not this program's.
    """
    if schema_revisions.find_revision(session) is not None:
        schema_revisions.check_current(session)
        all_collections = select(func.count()).select_from(collections)
        if session.execute(all_collections).scalar_one() > 1:  # the default one always exists
            return
        for kept in (images.c.id, api_keys.c.id):
            if session.execute(select(kept).limit(1)).first() is not None:
                return
    raise NothingToBackUp(
        "This database has never been used: it holds no pictures, no keys and no collections of "
        "your own. Is it the right one? TESTING=1 before the command chooses the demo database, "
        "DATABASE_URL and IMAGE_SEARCH_POSTGRES_DIR choose others."
    )


def _check_own(place: Place, database: str) -> None:
    """Raises BackupFailed where another database's backups are: rotation would delete them."""
    for backup in list_backups(place):
        try:
            made_of = backup.manifest().database
        except BackupFailed:  # damaged, or a later version's: no reason to make no more
            continue
        if made_of not in {None, database}:
            raise BackupFailed(
                f"{place} has backups of another database, {backup.stamp} for example. Give each "
                "database a folder or prefix of its own."
            )


def _copy(store: Path, target: Place) -> Iterator[str]:
    """Copy what `target` lacks of a store's files; the names of all, relative to the store.

    Raises OSError for a folder that cannot be read: its pictures would be missing.
    """
    there = target.uploads()
    for place, folders, files in os.walk(store, onerror=_refuse):
        folders[:] = [one for one in folders if not one.startswith(NOT_COPIED)]
        for file in (Path(place, one) for one in files if not one.startswith(NOT_COPIED)):
            name = file.relative_to(store).as_posix()
            if name not in there:
                try:
                    target.put_upload(file, name)
                except FileNotFoundError:  # deleted just now
                    continue
            yield name


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # deleted just now
        raise error


def _describe(session: Session, part: Path, files: int) -> Manifest:
    return Manifest(
        made_at=datetime.now(UTC),
        database=database_identity.identity(session),
        version=VERSION,
        schema_revision=schema_revisions.check_current(session),
        postgres=dumps.server_version(session),
        pictures=session.execute(
            select(func.count()).select_from(images).where(PRESENT)
        ).scalar_one(),
        files=files,
        dump_sha256=_hash(part / DUMP),
        indexes=tuple(_indexes(session)),
    )


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return sha256(iter(lambda: file.read(CHUNK), b""))


def _indexes(session: Session) -> Iterator[BackedUpIndex]:
    found = session.execute(select(collections.c.id, collections.c.namespace, collections.c.name))
    named = {one.id: one for one in found}
    for index in vector_indexes.active_indexes(session, list(named)).values():
        of = named[index.collection_id]
        yield _described(of.namespace, of.name, index, vector_indexes.count_vectors(session, index))


def _described(namespace: str, name: str, index: VectorIndex, vectors: int) -> BackedUpIndex:
    return BackedUpIndex(
        namespace=namespace,
        collection=name,
        model=index.model,
        pretrained=index.pretrained,
        fingerprint=index.fingerprint,
        vectors=vectors,
    )


def _write(part: Path, manifest: Manifest, files: set[str]) -> None:
    """All but the dump; the settings hold secrets, and are for the owner alone."""
    (part / FILES).write_text("".join(f"{name}\n" for name in sorted(files)), encoding="utf-8")
    if (env_file := Settings.default_env_file()).is_file():
        (part / SETTINGS).touch(0o600)
        shutil.copyfile(env_file, part / SETTINGS)
    with whole_file(part / MANIFEST) as file:
        file.write(manifest.model_dump_json(indent=2).encode())


@contextmanager
def _following(place: Place, manifest: Manifest, otherwise: str) -> Iterator[None]:
    """What follows a backup that is whole: where it fails, the log says what was not done."""
    try:
        yield
    except (BackupFailed, DBAPIError, OSError) as error:
        log.warning(
            "The backup %s/%s was made, but %s: %s",
            *(place, manifest.stamp, otherwise, connections.first_line(error)),
        )


def _rotate(place: Place, keep: int) -> None:
    """Delete all but the newest backups, then uploads that are in none of them.

    Raises BackupFailed, also where it cannot be told which uploads a backup has: then all stay.
    """
    found = list_backups(place)
    for backup in found[: max(0, len(found) - keep)]:
        place.delete(backup.stamp)
    place.delete_uploads({name for backup in list_backups(place) for name in backup.files()})
