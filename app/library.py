"""All collections of this service: made, opened as they are asked for, changed, deleted.

What works on one collection is made once and kept; its rows are read anew at each opening, so that
another process's changes are seen at once.
"""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import text
from sqlalchemy.orm import Session

from app import catalog, collections, fields, indexes, jobs
from app.collections import NewCollection
from app.db import Sessions
from app.duplicates import Duplicates
from app.encoders.resident import Resident
from app.encoders.residents import ModelName, Residents
from app.errors import CollectionRejected, ModelUnavailable
from app.explaining import Explaining
from app.indexes import Shape
from app.ingest import Ingest
from app.intake import Intake
from app.listing import Listing
from app.recall import Recall
from app.search import Search
from app.storage import Disk
from app.tables import Collection, VectorIndex
from app.uploads import Uploads

HASHES_AT_ONCE = 10_000  # pictures whose thumbnails are deleted from one statement


@dataclass(frozen=True)
class OpenCollection:
    """A collection, its index and all that works on them."""

    collection: Collection
    index: VectorIndex
    encoder: Resident
    search: Search
    uploads: Uploads
    intake: Intake
    duplicates: Duplicates
    explaining: Explaining
    recall: Recall
    listing: Listing
    ingest: Ingest


Build = Callable[[Collection, VectorIndex, Resident], OpenCollection]


class Library:
    """Opens collections. `models` are those that a request may name, the default one apart."""

    def __init__(
        self,
        sessions: Sessions,
        residents: Residents,
        models: Sequence[ModelName],
        build: Build,
        thumbnails: Disk,
        default: tuple[Collection, VectorIndex, Resident],
    ) -> None:
        self._sessions = sessions
        self._residents = residents
        self._models = models
        self._build = build
        self._thumbnails = thumbnails
        self._encoder = default[2]
        self._opened: dict[int, OpenCollection] = {}
        self._lock = threading.Lock()
        self.default = self._kept(*default)

    def open(self, namespace: str, name: str) -> OpenCollection:
        """A collection by its name. Raises CollectionNotFound, IndexGone, ModelUnavailable."""
        with self._sessions.begin() as session:
            collection = collections.get(session, namespace, name)
            index = indexes.active_index(session, collection.id)
        return self._open(collection, index)

    def open_id(self, collection_id: int) -> OpenCollection:
        """The same by its id."""
        with self._sessions.begin() as session:
            collection = collections.get_by_id(session, collection_id)
            index = indexes.active_index(session, collection_id)
        return self._open(collection, index)

    def of_job(self, job_id: int) -> OpenCollection:
        """The collection that a job is for. Raises JobNotFound, and as `open`."""
        with self._sessions.begin() as session:
            collection_id = jobs.get(session, job_id).collection_id
        return self.open_id(collection_id)

    def every(self) -> Iterator[OpenCollection]:
        """All collections, the default one first."""
        with self._sessions.begin() as session:
            found = collections.every(session)
        for collection in found:
            yield self.open_id(collection.id)

    def _open(self, collection: Collection, index: VectorIndex) -> OpenCollection:
        known = self._opened.get(collection.id)
        if known is None or known.index != index:
            return self._kept(collection, index, self._resident(index))
        if known.collection != collection:
            known = replace(known, collection=collection)
        return known

    def _kept(
        self, collection: Collection, index: VectorIndex, encoder: Resident
    ) -> OpenCollection:
        opened = self._build(collection, index, encoder)
        with self._lock:
            self._opened[collection.id] = opened
        return opened

    def _resident(self, index: VectorIndex) -> Resident:
        """The model of the index. Raises ModelUnavailable where it is not what it was."""
        if index.fingerprint == self._encoder.space.fingerprint:
            return self._encoder
        resident = self._residents.of(ModelName(index.model, index.pretrained))
        if resident.space.fingerprint != index.fingerprint:
            raise ModelUnavailable(
                f"The weights of {index.space.name} are not those that this collection was "
                "indexed with: its vectors cannot be compared with theirs."
            )
        return resident

    def listed(self, namespace: str, after: str, limit: int) -> list[OpenCollection]:
        """The namespace's collections by name, from the one after the name `after` on."""
        with self._sessions.begin() as session:
            found = collections.listed(session, namespace, after, limit)
        return [self.open_id(collection.id) for collection in found]

    def create(self, new: NewCollection, model: ModelName | None, shape: Shape) -> OpenCollection:
        """A collection without pictures; its model is loaded now, by default the service's own.

        Raises CollectionExists, CollectionRejected, ModelUnavailable.
        """
        fields.check_declared(new.fields)
        encoder = self._encoder if model is None else self._allowed(model)
        space = encoder.space
        with self._sessions.begin() as session:
            collection = collections.create(session, new)
            index = indexes.create_index(session, collection.id, space, shape)
            indexes.build_hnsw(session, index)
            _index_fields(session, collection.id, new.fields)
        return self._kept(collection, index, encoder)

    def _allowed(self, model: ModelName) -> Resident:
        space = self._encoder.space
        if model == ModelName(space.model, space.pretrained):
            return self._encoder
        if model not in self._models:
            raise CollectionRejected(
                f"model: {model.model} {model.pretrained} is not open to collections: "
                "COLLECTION_MODELS names those that are."
            )
        return self._residents.of(model)

    def change(
        self, opened: OpenCollection, language: str, declared: Mapping[str, str]
    ) -> OpenCollection:
        """Give it another language, or other declared fields with their indexes.

        Raises CollectionRejected.
        """
        fields.check_declared(declared)
        before = opened.collection
        with self._sessions.begin() as session:
            after = collections.change(session, before, language, declared)
            kept = {name for name, kind in before.fields.items() if declared.get(name) == kind}
            _drop_field_indexes(session, before.id, before.fields.keys() - kept)
            new = {name: kind for name, kind in declared.items() if name not in kept}
            _index_fields(session, before.id, new)
        return replace(opened, collection=after)

    def tune(self, opened: OpenCollection, ef_search: int) -> OpenCollection:
        """Keep so many candidates in its searches from now on."""
        with self._sessions.begin() as session:
            indexes.tune(session, opened.index, ef_search)
        return self.open_id(opened.collection.id)

    def delete(self, opened: OpenCollection) -> None:
        """Delete it with its pictures, vectors, jobs, uploaded files and thumbnails.

        Files in folders and buckets of the user's stay. Raises CollectionRejected.
        """
        collection = opened.collection
        if collection.id == self.default.collection.id:
            raise CollectionRejected("The default collection stays: the flat endpoints use it.")
        with self._sessions.begin() as session:
            hashes = catalog.content_hashes(session, collection.id)
            indexes.claim(session, opened.index)
            indexes.drop_index(session, opened.index)
            _drop_field_indexes(session, collection.id, collection.fields)
            collections.remove(session, collection)
        with self._lock:
            self._opened.pop(collection.id, None)
        shutil.rmtree(opened.uploads.disk.folder, ignore_errors=True)
        for content_hash in hashes:
            self._thumbnails.remove(f"{content_hash.hex()}-*.webp")


def _index_fields(session: Session, collection_id: int, declared: Mapping[str, str]) -> None:
    for name, kind in declared.items():
        session.execute(text(fields.index_statement(collection_id, name, kind)))


def _drop_field_indexes(session: Session, collection_id: int, names: Iterable[str]) -> None:
    for name in names:
        session.execute(text(f"DROP INDEX IF EXISTS {fields.index_name(collection_id, name)}"))
