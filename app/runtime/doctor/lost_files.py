"""Rows whose file is missing: forgotten if a few are, doubted if it looks like something else."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy import select

from app.catalog.images import image_deletion
from app.catalog.images.image_removal import delete_marked
from app.database import database_identity
from app.database.connections import Sessions
from app.database.tables import IMAGE_COLUMNS, PRESENT, Image, images
from app.errors import ImageSearchError
from app.runtime.doctor.findings import Finding, doubt_share
from app.sources.interfaces import RECORDS_ONLY, S3_SCHEME
from app.sources.source_access import Sources
from app.storage.disk import STORE_SCHEME, Disk, Stores

PAGE = 500  # rows looked at a time
FORGOTTEN = "forgotten.jsonl"  # in the trash: what was known of rows that were forgotten
FEWEST = 2  # files of a folder that are all missing, to doubt it


@dataclass
class _Survey:
    """What was looked at: the rows by folder, those that lack their file, those elsewhere."""

    all: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    lost: list[Image] = field(default_factory=list)
    elsewhere: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class LostFiles:
    """Looks for rows whose file is missing, and forgets them."""

    sessions: Sessions
    sources: Sources
    stores: Stores

    def look(self) -> tuple[Finding, list[str]]:
        """What is missing, and notes on files that lie where this process cannot look."""
        survey = _Survey()
        for image in self._images():
            self._look_at(image, survey)
        with self.sessions.begin() as session:
            folders = database_identity.store_folders(session)
        doubted = {one for one in survey.missing if self._doubt(one, survey)}
        doubts = [self._doubt(one, survey) for one in sorted(doubted)]
        certain = [image for image in survey.lost if self._folder(image) not in doubted]
        too_many = doubt_share(len(certain), survey.all.total(), "files are missing")
        if others := set(folders) - {self.stores.uploads.identity()}:
            on_disk = [one for one in certain if not self._is_shared(one.stored_path)]
            too_many += self._doubt_machine(len(on_disk), len(others))
        if too_many:
            certain, doubts = [], doubts + too_many
        found = [image.path for image in survey.lost]
        repair = partial(self._repair, survey.lost, certain)
        notes = [
            f"{count} pictures are kept in another store of uploads, opened last in "
            f"{folders.get(store, 'an unknown folder')}: they were not examined."
            for store, count in sorted(survey.elsewhere.items())
        ]
        return Finding("rows without file", found, repair, doubts), notes

    def _images(self) -> Iterator[Image]:
        query = select(*IMAGE_COLUMNS).where(PRESENT).order_by(images.c.id).limit(PAGE)
        last = 0
        while True:
            with self.sessions.begin() as session:
                rows = session.execute(query.where(images.c.id > last)).mappings()
                page = [Image.of(row) for row in rows]
            yield from page
            if not page:
                return
            last = page[-1].id

    def _look_at(self, image: Image, survey: _Survey) -> None:
        if image.stored_path.startswith(RECORDS_ONLY):  # it never had a file
            return
        if self.sources.is_elsewhere(image.stored_path):
            survey.elsewhere[image.stored_path.split("/")[2]] += 1
            return
        folder = self._folder(image)
        survey.all[folder] += 1
        if not self._is_there(image.stored_path):
            survey.missing[folder] += 1
            survey.lost.append(image)

    def _folder(self, image: Image) -> str:
        """What would be moved or unmounted as a whole: a folder, a bucket, a disk of uploads."""
        path = image.stored_path
        if path.startswith(S3_SCHEME):
            return S3_SCHEME + path.split("/")[2]
        location = self.sources.location(path)
        is_upload = path.startswith(STORE_SCHEME)  # in a sub-folder named by its hash
        return str(location.parent.parent if is_upload else location.parent)

    def _is_there(self, path: str) -> bool:
        try:
            return self.sources.exists(path)
        except ImageSearchError:  # a bucket that does not answer now has lost nothing
            return True

    def _is_shared(self, path: str) -> bool:
        """Whether all machines see the same, or the store says that it is this one's."""
        return path.startswith((S3_SCHEME, STORE_SCHEME))

    def _doubt(self, folder: str, survey: _Survey) -> str:
        """Why the folder's missing files may not be lost; empty if there is no doubt."""
        if not folder.startswith(S3_SCHEME) and not self._has_files(Path(folder)):
            return f"{folder} is gone or empty: is its disk mounted?"
        count = survey.missing[folder]
        if count == survey.all[folder] >= FEWEST:
            return f"All {count} files of {folder} are missing: was it moved?"
        return ""

    def _has_files(self, folder: Path) -> bool:
        if self.stores.uploads.owns(folder):
            return any(Disk(folder).files())
        try:
            return any(folder.iterdir())
        except OSError:  # it is no folder, was unmounted just now, or may not be read
            return False

    def _doubt_machine(self, count: int, stores: int) -> list[str]:
        if not count:
            return []
        return [
            f"This database has {stores + 1} stores of uploads: {count} missing files may lie on "
            "another machine."
        ]

    def _repair(self, lost: Sequence[Image], certain: Sequence[Image], sure: bool) -> int:
        forgotten = list(lost if sure else certain)
        if forgotten:
            self._write_down(forgotten)
            with self.sessions.begin() as session:
                forgotten = image_deletion.mark_deleted(session, forgotten)
            delete_marked(self.sessions, self.stores)
        return len(forgotten)

    def _write_down(self, forgotten: Sequence[Image]) -> None:
        """Keep what people said of the pictures: a caption cannot be computed again."""
        place = self.stores.uploads.trash() / FORGOTTEN
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a", encoding="utf-8") as file:
            for image in forgotten:
                told = {**vars(image), "content_hash": image.content_hash.hex()}
                file.write(json.dumps(told, default=str, ensure_ascii=False) + "\n")
