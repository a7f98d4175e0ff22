"""Files in this program's folders that nothing in the database knows."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import or_, select, text

from app.catalog.collection_deletion import upload_disks
from app.catalog.images import image_rows
from app.database.connections import Sessions
from app.database.tables import images
from app.runtime.doctor.findings import Finding, doubt_share, old_files
from app.runtime.doctor.foreign_files import ForeignFiles, has_own_name
from app.storage.disk import Stores

AWAITED = """
SELECT staged FROM job_items WHERE staged IS NOT NULL
UNION SELECT source->>'staged' FROM jobs WHERE source ? 'staged' AND NOT (listed AND reason IS NULL)
"""


@dataclass(frozen=True)
class StrayFiles:
    """Looks for uploads, sent files and thumbnails that are left over, and for foreign files.

    Only files with names as this program gives them are taken for its own.
    """

    sessions: Sessions
    stores: Stores

    def look(self) -> tuple[list[Finding], list[str]]:
        """What was found, and a note for each folder that was not looked into."""
        uploads, kept = self._without_row()
        sent, waiting = self._without_job()
        foreign, notes = ForeignFiles(self.stores).look([*uploads, *sent])
        findings = [
            self._stray_uploads([*filter(has_own_name, uploads)], kept),
            foreign,
            self._stray_sent([*filter(has_own_name, sent)], waiting),
            self._stray_thumbnails(),
        ]
        return findings, notes

    def _without_row(self) -> tuple[list[Path], int]:
        """Files among the uploads that no row names, and the number of all."""
        with self.sessions.begin() as session:
            rows = session.execute(select(images.c.path, images.c.upload_copy)).all()
        known = {path for row in rows for path in row}
        uploads = self.stores.uploads
        files = [path for disk in upload_disks(uploads) for path in disk.files()]
        stray = [path for path in old_files(files) if uploads.stored_path(path) not in known]
        return stray, len(files)

    def _stray_uploads(self, stray: Sequence[Path], population: int) -> Finding:
        doubts = doubt_share(len(stray), population, "files have no row")

        def discard(sure: bool) -> int:
            chosen = [] if doubts and not sure else stray
            return sum(self._discard_stray(path) for path in chosen)

        return Finding("files without row", _shown(stray), discard, doubts)

    def _discard_stray(self, path: Path) -> bool:
        """Unless an upload of the same bytes has taken it over since it was found."""
        with self.sessions.begin() as session:
            with suppress(ValueError):  # a name that is no hash is none of ours
                image_rows.lock_content(session, bytes.fromhex(path.stem))
            stored = self.stores.uploads.stored_path(path)
            here = or_(images.c.path == stored, images.c.upload_copy == stored)
            is_stray = session.execute(select(images.c.id).where(here)).first() is None
            if is_stray:
                self.stores.uploads.discard(path)
        return is_stray

    def _without_job(self) -> tuple[list[Path], int]:
        """Sent files that no job awaits, and the number of all."""
        with self.sessions.begin() as session:
            awaited = set(session.execute(text(AWAITED)).scalars())
        files = list(self.stores.incoming.files())
        return [path for path in old_files(files) if path.name not in awaited], len(files)

    def _stray_sent(self, stray: Sequence[Path], population: int) -> Finding:
        doubts = doubt_share(len(stray), population, "sent files have no job")

        def discard(sure: bool) -> int:
            chosen = [] if doubts and not sure else stray
            for path in chosen:
                self.stores.incoming.discard(path)
            return len(chosen)

        return Finding("sent files without job", _shown(stray), discard, doubts)

    def _stray_thumbnails(self) -> Finding:
        """Deleted at once, however many: they can be made again."""
        with self.sessions.begin() as session:
            hashes = session.execute(select(images.c.content_hash)).scalars()
            known = {content_hash.hex() for content_hash in hashes}
        old = old_files(filter(has_own_name, self.stores.thumbnails.files()))
        stray = [path for path in old if path.name.split("-")[0] not in known]

        def delete(sure: bool) -> int:
            for path in stray:
                path.unlink(missing_ok=True)
            return len(stray)

        return Finding("thumbnails without row", _shown(stray), delete)


def _shown(paths: Sequence[Path]) -> list[str]:
    return [str(path) for path in paths]
