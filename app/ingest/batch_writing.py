"""Writes what was found of a batch of a job's files: rows, vectors, and one result per item."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sqlalchemy.orm import Session

from app.catalog import skipped_files, upload_copies
from app.catalog.images import image_rows
from app.catalog.skipped_files import SkippedFile
from app.errors import GateRefused
from app.ingest.jobs.job_items import Item
from app.ingest.jobs.jobs import Job
from app.ingest.jobs.leases import ItemResult
from app.ingest.prepared import (
    DeletedContent,
    KnownContent,
    PictureInPlace,
    Prepared,
    RefusedFile,
)
from app.ingest.reading import ReadingContext, outcome_of_known, refusal_rules, retry_later
from app.ingest.upload_stages import PreparedUpload, Written
from app.understanding.labels.gates import HELD, Verdict
from app.vectors import Vectors

Encoded = dict[int, dict[int, Vectors]]
"""Vectors, float32 (dimensions,), by the ids of the items that need one, and by page from 1."""

DELETED_HERE = "Its picture was deleted here. include_deleted (INCLUDE_DELETED=1) brings it back."


class BatchWriting:
    """One batch's rows, within the caller's transaction."""

    def __init__(
        self, context: ReadingContext, session: Session, job: Job, vectors: Encoded
    ) -> None:
        self._context = context
        self._admission = context.uploads.admission
        self._session = session
        self._job = job
        self._vectors = vectors

    def results(self, prepared: Sequence[Prepared]) -> list[ItemResult]:
        """Write what was found; one result per item."""
        places = [(one, one.found) for one in prepared if isinstance(one.found, PictureInPlace)]
        drafts = [(one, one.found) for one in prepared if isinstance(one.found, PreparedUpload)]
        faulty = [(one.item, one.found) for one in prepared if isinstance(one.found, RefusedFile)]
        skipped = [*self._refused(faulty), *self._deleted(prepared)]
        kept = [
            _noted(one, self._kept(one.item, one.found))
            for one in prepared
            if isinstance(one.found, KnownContent)
        ]
        settled = [_noted(one, one.found) for one in prepared if isinstance(one.found, ItemResult)]
        return [*self._places(places), *self._drafts(drafts), *kept, *settled, *skipped]

    def _refused(self, found: Sequence[tuple[Item, RefusedFile]]) -> list[ItemResult]:
        """Record refused files, so that they are not read again before they change."""
        rules = refusal_rules(self._context.limits)
        files = [
            SkippedFile(item.path, item.etag, reason=refused.reason, code=refused.code, rules=rules)
            for item, refused in found
        ]
        if not self._job.dry_run:
            skipped_files.put(self._session, self._job.collection_id, files)
        return [
            ItemResult(item, "failed", refused.reason, code=refused.code) for item, refused in found
        ]

    def _deleted(self, prepared: Sequence[Prepared]) -> list[ItemResult]:
        found = [(one.item, one.found) for one in prepared if isinstance(one.found, DeletedContent)]
        for item, content in found if not self._job.dry_run else ():
            place = (content.skipped, item.path, item.etag)
            skipped_files.move(self._session, self._job.collection_id, *place)
        return [ItemResult(item, "unchanged", DELETED_HERE) for item, _ in found]

    def _places(self, places: list[tuple[Prepared, PictureInPlace]]) -> list[ItemResult]:
        places.sort(key=lambda pair: pair[1].new.path)  # two batches never deadlock
        new = [place.new for _, place in places]
        vectors = self._rows(places)
        skipped_files.forget(self._session, self._job.collection_id, [one.path for one in new])
        admitted = self._admission.admit(self._session, new, vectors, self._further_pages(places))
        stopped, results = [], []
        for (one, place), became in zip(places, admitted, strict=True):
            if became.image is None and became.verdict:
                refusal = became.verdict.refusal()
                stopped.append((one.item, RefusedFile(str(refusal), refusal.code)))
            elif became.image is not None:
                outcome = "changed" if place.known else "added"
                told = _told(one.item, outcome, became.verdict, became.image.id)
                results.append(_noted(one, told))
        return [*results, *self._refused(stopped)]

    def _drafts(self, drafts: list[tuple[Prepared, PreparedUpload]]) -> list[ItemResult]:
        """If a batch holds the same bytes twice, the second is a duplicate."""
        first = {draft.new.content_hash: (one, draft) for one, draft in reversed(drafts)}
        chosen = [first[content_hash] for content_hash in sorted(first)]
        uploads = self._context.uploads
        vectors = (self._rows(chosen), self._further_pages(chosen))
        written = uploads.write(self._session, [draft for _, draft in chosen], *vectors)
        results = []
        for one, draft in drafts:
            is_first = first[draft.new.content_hash][0] is one
            result = self._of_draft(one.item, draft, written[draft.new.content_hash], is_first)
            results.append(_noted(one, result))
        return results

    def _of_draft(
        self, item: Item, draft: PreparedUpload, written: Written, is_first: bool
    ) -> ItemResult:
        if written.image is None:
            refusal = written.verdict and written.verdict.refusal()
            return ItemResult(item, "failed", str(refusal), code=GateRefused.code)
        updated = written.updated
        if not is_first:
            updated = upload_copies.is_changed_by(written.image, draft.said)
            upload_copies.add(self._session, written.image, None, draft.said)
        is_new = is_first and written.status in {"stored", "held"}
        outcome = "added" if is_new else outcome_of_known(updated=updated)
        return _told(item, outcome, written.verdict, written.image.id)

    def _rows(self, found: Sequence[tuple[Prepared, object]]) -> Vectors:
        """The vectors, float32 (len(found), dimensions)."""
        nothing = np.empty((0, self._admission.index.dimensions), np.float32)
        return np.vstack([nothing, *(self._vectors[one.item.id][1] for one, _ in found)])

    def _further_pages(self, found: Sequence[tuple[Prepared, object]]) -> list[dict[int, Vectors]]:
        """The vectors, float32 (dimensions,), of pages after the first, by page."""
        every = (self._vectors[one.item.id] for one, _ in found)
        return [{page: row for page, row in rows.items() if page > 1} for rows in every]

    def _kept(self, item: Item, kept: KnownContent) -> ItemResult:
        zone = self._context.rules.zone
        place = (item.path, item.etag, kept.words, zone)
        if self._job.dry_run or image_rows.move_image(self._session, kept.known, *place):
            if not self._job.dry_run:
                skipped_files.forget(self._session, self._job.collection_id, [item.path])
            return ItemResult(item, kept.outcome, None, kept.known.id)
        return retry_later(item, "The picture was moved or deleted meanwhile.")


def _told(item: Item, outcome: str, verdict: Verdict | None, image_id: int) -> ItemResult:
    """What became of a file that is stored; a verdict holds its picture."""
    if verdict is None:
        return ItemResult(item, outcome, None, image_id)
    return ItemResult(item, outcome, verdict.note(), image_id, code=HELD)


def _noted(one: Prepared, result: ItemResult) -> ItemResult:
    return replace(result, reason=result.reason or one.note)
