"""Makes a backup while the service runs: uploads, the database at one moment, uploads again.

A file that is deleted meanwhile was copied before the dump, and one that is added before the dump
is copied after it: so each row of the dump has its file.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import VERSION
from app.database import connections, database_identity, dumps, schema_revisions
from app.database.tables import PRESENT, VectorIndex, collections, images
from app.errors import BackupFailed
from app.index import vector_indexes
from app.runtime import backing_services
from app.runtime.backup.manifest import (
    DUMP,
    FILES,
    MANIFEST,
    SETTINGS,
    UPLOADS,
    BackedUpIndex,
    Backup,
    Manifest,
    list_backups,
    sha256,
)
from app.runtime.backup.verification import verify
from app.runtime.stores import ASIDE, open_stores
from app.settings import Settings
from app.storage.disk import PART, TRASH, whole_file

LOCK = ".lock"
NOT_COPIED = (TRASH, PART, ASIDE)  # beginnings of names: what was deleted, is unfinished, another's


def make_backup(
    settings: Settings, folder: Path, keep: int | None = None, *, is_verified: bool = False
) -> Manifest:
    """Add a backup to a folder, and delete all but the newest `keep` ones.

    Where it is to be verified, it is restored in a temporary place, and its tables and answers are
    compared with those of the database at the moment of the dump.
    Raises BackupFailed, and then no backup was added and none deleted.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone_in(folder), backing_services.database(settings) as url:
            manifest = _make(settings, url, folder, is_verified=is_verified)
            if keep is not None:
                _rotate(folder, keep)
    except OSError as error:
        raise BackupFailed(f"{error.filename or folder}: {error.strerror or error}") from error
    return manifest


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupFailed(f"Another backup is being made in {folder}.") from None
        for left in folder.glob(f"{PART}*"):  # by a process that was killed
            shutil.rmtree(left)
        yield


def _make(settings: Settings, url: str, folder: Path, *, is_verified: bool) -> Manifest:
    engine = connections.open_engine(url)
    try:
        sessions = connections.open_sessions(engine)
        with sessions.begin() as session:
            schema_revisions.check_current(session)
        store = open_stores(settings, sessions).uploads.folder
        with TemporaryDirectory(prefix=PART, dir=folder, ignore_cleanup_errors=True) as name:
            part = Path(name)
            files = set(_copy(store, folder / UPLOADS))
            with dumps.snapshot(engine) as (session, snapshot):
                dumps.dump(session, url, snapshot, part / DUMP)
                files |= set(_copy(store, folder / UPLOADS))
                manifest = _describe(session, part, len(files))
                _write(part, manifest, files)
                if is_verified:
                    verify(settings, session, Backup(folder, part.name))
            part.rename(folder / manifest.stamp)
        with sessions.begin() as session:
            database_identity.note_backup(session, manifest.made_at)
    finally:
        engine.dispose()
    return manifest


def _copy(store: Path, target: Path) -> Iterator[str]:
    """Copy what `target` lacks of a store's files; the names of all, relative to the store."""
    for place, folders, files in os.walk(store):
        folders[:] = [one for one in folders if not one.startswith(NOT_COPIED)]
        for file in (Path(place, one) for one in files if not one.startswith(NOT_COPIED)):
            name = file.relative_to(store)
            if not (target / name).exists():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    with file.open("rb") as source, whole_file(target / name) as copy:
                        shutil.copyfileobj(source, copy)
                except FileNotFoundError:  # deleted just now
                    continue
            yield name.as_posix()


def _describe(session: Session, part: Path, files: int) -> Manifest:
    return Manifest(
        made_at=datetime.now(UTC),
        version=VERSION,
        schema_revision=schema_revisions.check_current(session),
        postgres=dumps.server_version(session),
        pictures=session.execute(
            select(func.count()).select_from(images).where(PRESENT)
        ).scalar_one(),
        files=files,
        dump_sha256=sha256(part / DUMP),
        indexes=tuple(_indexes(session)),
    )


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


def _rotate(folder: Path, keep: int) -> None:
    """Delete all but the newest backups, then uploads that are in none of them."""
    found = list_backups(folder)
    for backup in found[: max(0, len(found) - keep)]:
        shutil.rmtree(backup.folder)
    kept = {name for backup in list_backups(folder) for name in backup.files()}
    for path in (folder / UPLOADS).rglob("*"):
        if path.is_file() and path.relative_to(folder / UPLOADS).as_posix() not in kept:
            path.unlink()
