"""Makes a service of a backup, in an empty place."""

import shutil
from pathlib import Path

from app.database import connections, dumps, migrating, schema_revisions
from app.errors import BackupFailed
from app.runtime import backing_services
from app.runtime.backup.backups import Backup
from app.runtime.backup.manifest import Manifest
from app.settings import Settings
from app.storage.disk import whole_file


def restore(settings: Settings, backup: Backup) -> Manifest:
    """Fill the settings' database and folder of uploads, which have to be empty, from a backup.

    The schema is brought up to date. Raises BackupFailed, and then both are empty again.
    """
    manifest = backup.manifest()
    schema_revisions.check_known(manifest.schema_revision)
    uploads = settings.storage_dir
    if uploads.is_dir() and any(uploads.iterdir()):
        name = "TEST_UPLOAD_DIR" if settings.testing else "UPLOAD_DIR"
        raise BackupFailed(
            f"{uploads} is not empty. Set IMAGE_SEARCH_{name} to a new folder, or move it away."
        )
    backup.check_dump()
    try:
        _copy_uploads(backup, uploads)
        restore_database(settings, backup)
    except OSError as error:
        _clear(uploads)
        raise BackupFailed(f"{error.filename or uploads}: {error.strerror or error}") from error
    except BaseException:
        _clear(uploads)
        raise
    return manifest


def restore_database(settings: Settings, backup: Backup) -> None:
    """Fill the settings' database, which has to be empty. Raises BackupFailed."""
    with backing_services.database(settings) as url:
        engine = connections.open_engine(url)
        try:
            with connections.open_sessions(engine)() as session:
                if not dumps.is_empty(session):
                    raise BackupFailed(
                        "The database is not empty. Set IMAGE_SEARCH_POSTGRES_DIR to a new "
                        "folder, or DATABASE_URL to an empty database."
                    )
                with backup.dump() as dump:
                    dumps.load(session, url, dump)
            migrating.migrate(engine)
        finally:
            engine.dispose()


def _copy_uploads(backup: Backup, uploads: Path) -> None:
    uploads.mkdir(parents=True, exist_ok=True)
    for name in backup.files():
        target = uploads / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as copy:
            backup.read_upload(name, copy)


def _clear(uploads: Path) -> None:
    """Take away what was copied; the folder itself stays."""
    for path in uploads.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
