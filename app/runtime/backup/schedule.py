"""Backups that a server makes by itself, every IMAGE_SEARCH_BACKUP_HOURS."""

import logging
import threading
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import DBAPIError

from app.errors import ImageSearchError, NothingToBackUp
from app.runtime.backup.making import make_backup
from app.runtime.backup.manifest import STAMP
from app.runtime.backup.places import open_place
from app.settings import Settings

log = logging.getLogger(__name__)

UNUSED_SECONDS = 60.0  # until a database is looked at again that holds nothing yet
RETRY_SECONDS = 3_600.0  # after a backup that failed: a disk that is away, another server's turn


class BackupSchedule:
    """Makes a backup in a folder or bucket whenever its newest is too old.

    So restarts change nothing, and several servers with one place make one backup together.
    """

    def __init__(self, settings: Settings, place: str) -> None:
        self._settings = settings
        self._place = place

    def make_backups(self, stop: threading.Event) -> None:
        """Make each backup that is due, until the event is set."""
        wait = 0.0
        while not stop.wait(wait):
            wait = self.make_if_due()

    def make_if_due(self) -> float:
        """Make a backup if one is due; the seconds until the next look. A failure is logged."""
        try:
            return self.seconds_until_due() or self._make()
        except NothingToBackUp:  # a first start: its folder is being indexed
            return UNUSED_SECONDS
        except (ImageSearchError, DBAPIError) as error:
            log.warning("IMAGE_SEARCH_BACKUP_DIR: no backup was made in %s: %s", self._place, error)
        except Exception:  # the server keeps running, and tries again
            log.exception("IMAGE_SEARCH_BACKUP_DIR: no backup was made in %s", self._place)
        return RETRY_SECONDS

    def seconds_until_due(self) -> float:
        """0 if a backup is due. Raises BackupFailed."""
        found = open_place(self._settings, self._place).stamps()
        if not found:
            return 0.0
        newest = datetime.strptime(found[-1], STAMP).replace(tzinfo=UTC)
        due = newest + timedelta(hours=self._settings.backup_hours)
        return max(0.0, (due - datetime.now(UTC)).total_seconds())

    def _make(self) -> float:
        """Make one; the seconds until the next look, which is at once."""
        place = open_place(self._settings, self._place)
        manifest = make_backup(self._settings, place, self._settings.backup_keep)
        log.info("Backed up %d pictures in %s", manifest.pictures, self._place)
        return 0.0
