"""Opens the folders this service writes to, and makes sure that they belong to its database.

Two databases on one folder would delete each other's files. So the first one to open a folder
claims it; any other keeps its files in a sub-folder of its own.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from app.catalog import upload_rows
from app.catalog.collection_deletion import upload_disks
from app.database import database_identity
from app.database.connections import Sessions
from app.errors import SettingsInvalid, StorageUnwritable
from app.setting_names import names_of
from app.settings import ROOT, Settings
from app.sources.folders import stored_path
from app.storage.disk import IDENTITY, STORE_SCHEME, Disk, Stores, UploadStore

log = logging.getLogger(__name__)

INCOMING = ".incoming"  # below the uploads: files waiting for a worker
ASIDE = "database-"  # with its identity: the sub-folder of another database than the owner
SAMPLE = 100  # files of an unclaimed folder that tell whose it is
HASHED_NAME = re.compile(r"[0-9a-f]{64}\b")  # of a file that is named after its content


def open_stores(settings: Settings, sessions: Sessions) -> Stores:
    """The stores of this database. Also updates rows whose store has moved or had no identity.

    Raises SettingsInvalid, naming the setting, if one of the folders cannot be made or written.
    """
    with sessions.begin() as session:
        database = database_identity.identity(session)
    try:
        return _open_stores(settings, sessions, database)
    except StorageUnwritable as error:
        raise SettingsInvalid(str(error)) from error


def _open_stores(settings: Settings, sessions: Sessions, database: str) -> Stores:
    setting, _ = names_of("test_upload_dir" if settings.testing else "upload_dir")
    shared = Disk(settings.storage_dir, setting)
    own = _own_disk(shared, database, may_claim=_is_ours(shared, sessions))
    uploads = UploadStore(own.folder, setting)
    _register(uploads, sessions)
    thumbnails = Disk(settings.thumbnail_dir, names_of("thumbnail_dir")[0])
    stores = Stores(
        uploads=uploads,
        incoming=uploads.below(INCOMING),
        thumbnails=_own_disk(thumbnails, database),
    )
    for disk in (*upload_disks(uploads), stores.incoming, stores.thumbnails):
        disk.sweep()
    return stores


def _own_disk(disk: Disk, database: str, *, may_claim: bool = True) -> Disk:
    """The folder itself, or one below it where the folder belongs to another database.

    The second case is logged the first time, with the setting to change.
    """
    owner = disk.owner()
    if owner is None and may_claim:
        owner = disk.claim(database)
    if owner == database:
        return disk
    aside = disk.below(f"{ASIDE}{database}")
    if aside.owner() is None:
        log.warning(
            "%s belongs to another database: this one's files go to %s, from now on. Nothing needs "
            "to be done; to keep them elsewhere, set %s.",
            disk.folder,
            aside.folder,
            disk.setting,
        )
    aside.claim(database)
    return aside


def _is_ours(disk: Disk, sessions: Sessions) -> bool:
    """Whether an unclaimed folder has no files, or this database knows most of them.

    If these are of a store whose markers were left behind when it was moved, it is that store.
    """
    names = {} if disk.owner() else dict(islice(_hashed_files(disk), SAMPLE))
    if not names:
        return True
    hashes = set(names.values())
    with sessions.begin() as session:
        known = upload_rows.paths_of(session, [bytes.fromhex(one) for one in hashes])
    stored = [path for path in known if Path(path).stem in hashes]
    if 2 * len(stored) < len(names):
        return False
    stores = Counter(path.split("/")[2] for path in stored if path.startswith(STORE_SCHEME))
    for store, _ in stores.most_common(1):
        disk.mark(IDENTITY, store)
    return True


def _hashed_files(disk: Disk) -> Iterator[tuple[Path, str]]:
    """The files that are named after their content, and its hash."""
    for one in upload_disks(disk):
        for path in one.files():
            if match := HASHED_NAME.match(path.name):
                yield path, match[0]


def _register(uploads: UploadStore, sessions: Sessions) -> None:
    """Note where the store is. At its first time, adopt the rows of an earlier version."""
    store = uploads.identity()
    folder = stored_path(uploads.folder, ROOT)
    with sessions.begin() as session:
        others = database_identity.store_folders(session)
        is_new = others.pop(store, None) is None
        database_identity.note_store(session, store, folder)
    if is_new:
        if others:
            log.warning(
                "%s is a new store of this database; what was uploaded before lies in %s. If that "
                "was meant to move, move it here, hidden files too, before anything is uploaded.",
                folder,
                ", ".join(sorted(others.values())),
            )
        adopted = upload_rows.adopt(sessions, uploads, f"{folder}/")
        if adopted:
            log.info("%s uploads are known by their place in %s now", adopted, folder)
