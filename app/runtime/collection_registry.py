"""The collections of this service: created, opened on demand, changed and deleted.

The services of a collection are built once and cached; its rows are read at every opening, so that
changes by other processes are seen at once. Opening a collection needs its model, finding it not.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collection_deletion import CollectionDeletion
from app.catalog.collections import NewCollection
from app.catalog.filters import field_names
from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.database.read_routing import chosen_standby
from app.database.tables import Collection, Pages, VectorIndex
from app.encoders.model_pool import ModelName
from app.encoders.resident_model import ResidentModel
from app.errors import CollectionRejected, IndexGone
from app.index import embeddings, vector_indexes
from app.index.statistics import Counts
from app.index.tuning import Tuning, find_tunings, keep_tuning
from app.index.vector_indexes import Shape
from app.ingest.jobs import jobs
from app.runtime import collection_changes
from app.runtime.collection_models import CollectionModels
from app.runtime.known_collections import KnownCollection, find_collection
from app.runtime.open_collection import OpenCollection

DEFAULT_SECONDS = 1.0  # the default collection's index is looked up so often, not at each search
MOST_OPEN = 100  # collections whose services are cached, least recently used out first

T = TypeVar("T")
Build = Callable[[Collection, VectorIndex, ResidentModel], OpenCollection]


class CollectionRegistry:
    """Opens collections, and keeps them open; `default` is that of the flat endpoints."""

    def __init__(
        self,
        sessions: Sessions,
        models: CollectionModels,
        build: Build,
        deletion: CollectionDeletion,
        default: tuple[Collection, VectorIndex],
    ) -> None:
        self._sessions = sessions
        self.models = models
        self._build = build
        self._collection_deletion = deletion
        self._opened: OrderedDict[int, OpenCollection] = OrderedDict()  # least recently used first
        self._namespaces: dict[int, str] = {}  # by id: ids are never reused
        self._lock = threading.Lock()
        collection, index = default
        is_own = index.fingerprint == models.own.space.fingerprint  # else its model is lost
        encoder = models.own if is_own else models.pool.of(ModelName.of(index.space))
        self.default = build(collection, index, encoder)
        # By the standby that was asked, None: the primary. One may not know another's new index.
        self._default_read = {chosen_standby(): (self.default, time.monotonic())}

    def find(self, namespace: str, name: str) -> KnownCollection:
        """A collection by its name. Raises CollectionNotFound, IndexGone."""
        return find_collection(self._sessions, namespace, name)

    def find_id(self, collection_id: int) -> KnownCollection:
        """A collection by its id. Raises CollectionNotFound, IndexGone."""
        with self._sessions.begin() as session:
            collection = collections.get_by_id(session, collection_id)
            return KnownCollection(collection, vector_indexes.active_index(session, collection_id))

    def namespace_of(self, collection_id: int) -> str:
        """The namespace of a collection, cached: it never changes. Raises CollectionNotFound."""
        if collection_id not in self._namespaces:
            with self._sessions.begin() as session:
                found = collections.get_by_id(session, collection_id).namespace
            self._namespaces[collection_id] = found
        return self._namespaces[collection_id]

    def listed(self, namespace: str, after: str, limit: int) -> list[KnownCollection]:
        """A page of the namespace's collections, sorted by name, whose names come after `after`."""
        with self._sessions.begin() as session:
            return _with_index(
                session, collections.list_collections(session, namespace, after, limit)
            )

    def every(self) -> list[KnownCollection]:
        """All collections, the default one first."""
        with self._sessions.begin() as session:
            return _with_index(session, collections.all_collections(session))

    def counts(self, known: Sequence[KnownCollection]) -> list[Counts]:
        """For each: the number of pictures, and of pictures with a vector."""
        with self._sessions.begin() as session:
            found = embeddings.count_covered_each(session, [one.index for one in known])
        return [Counts(*one) for one in found]

    def open(self, namespace: str, name: str) -> OpenCollection:
        """A collection by its name. Raises CollectionNotFound, IndexGone, ModelUnavailable."""
        return self.open_known(self.find(namespace, name))

    def open_id(self, collection_id: int) -> OpenCollection:
        """A collection by its id. Raises as `open`."""
        return self.open_known(self.find_id(collection_id))

    def current_default(self) -> OpenCollection | None:
        """The default collection, if its index was looked up within DEFAULT_SECONDS."""
        opened, read_at = self._default_read.get(chosen_standby(), (None, 0.0))
        return opened if time.monotonic() - read_at < DEFAULT_SECONDS else None

    def on_current(self, collection_id: int, work: Callable[[OpenCollection], T]) -> T:
        """Do `work` that writes; once more if another generation took the index's place meanwhile.

        Raises as `open`, and what `work` raises.
        """
        try:
            return work(self.open_id(collection_id))
        except IndexGone:
            return work(self.open_id(collection_id))

    def known_of_job(self, job_id: int) -> KnownCollection:
        """The collection of a job. Raises JobNotFound, CollectionNotFound, IndexGone."""
        with self._sessions.begin() as session:
            collection_id = jobs.get(session, job_id).collection_id
        return self.find_id(collection_id)

    def open_generation(self, index: VectorIndex) -> OpenCollection:
        """The services of any generation of a collection; they are not cached.

        Its model is neither loaded nor checked. Raises CollectionNotFound.
        """
        with self._sessions.begin() as session:
            collection = collections.get_by_id(session, index.collection_id)
        return self._build(collection, index, self.models.of(ModelName.of(index.space)))

    def open_known(self, known: KnownCollection) -> OpenCollection:
        """A collection that was just read. Raises ModelUnavailable."""
        began = time.monotonic()
        opened = self._kept(known)
        if opened is None:
            opened = self._keep(
                self._build(known.collection, known.index, self.models.encoder_of(known.index))
            )
        if opened.collection != known.collection:
            opened = replace(opened, collection=known.collection)
        if known.collection.id == self.default.collection.id:
            self._default_read[chosen_standby()] = (opened, began)
        return opened

    def _kept(self, known: KnownCollection) -> OpenCollection | None:
        """The cached services, if they were built for the same index."""
        with self._lock:
            if known.collection.id == self.default.collection.id:
                opened: OpenCollection | None = self.default
            elif opened := self._opened.get(known.collection.id):
                self._opened.move_to_end(known.collection.id)
        return opened if opened and opened.index == known.index else None

    def _keep(self, opened: OpenCollection) -> OpenCollection:
        with self._lock:
            if opened.collection.id == self.default.collection.id:
                self.default = opened
                return opened
            self._opened[opened.collection.id] = opened
            self._opened.move_to_end(opened.collection.id)
            while len(self._opened) > MOST_OPEN:
                self._opened.popitem(last=False)
        return opened

    def create(self, new: NewCollection, model: ModelName | None, shape: Shape) -> OpenCollection:
        """Create an empty collection and load its model, by default the service's own.

        Raises CollectionExists, CollectionRejected, ModelUnavailable.
        """
        field_names.check_declared(new.fields)
        encoder = self.models.own if model is None else self.models.allowed(model)
        space = encoder.space

        def write(session: Session) -> tuple[Collection, VectorIndex]:
            collection = collections.create(session, new)
            index = vector_indexes.create_index(session, collection.id, space, shape)
            vector_indexes.build_hnsw(session, index)
            collections.check_total_fields(session, new.fields)
            collection_changes.index_fields(session, collection, new.fields)
            return collection, index

        return self._keep(self._build(*retry_on_lock(self._sessions, write), encoder))

    def change(
        self,
        known: KnownCollection,
        language: str | None = None,
        field_changes: Mapping[str, str | None] | None = None,
        pages: Pages | None = None,
    ) -> KnownCollection:
        """What `collection_changes.change` does and raises."""
        changes = language, field_changes, pages
        collection_changes.change(self._sessions, known.collection.id, *changes)
        return self.find_id(known.collection.id)

    def rename(self, known: KnownCollection, name: str, *, dry_run: bool = False) -> None:
        """What `collection_changes.rename` does and raises."""
        collection_changes.rename(self._sessions, known.collection.id, name, dry_run=dry_run)

    def tune(self, opened: OpenCollection, ef_search: int, tuning: Tuning) -> OpenCollection:
        """Set `ef_search`, the number of candidates its searches keep, and why."""
        with self._sessions.begin() as session:
            keep_tuning(session, opened.index, ef_search, tuning)
        return self.open_id(opened.collection.id)

    def tunings(self, known: Sequence[KnownCollection]) -> list[Tuning | None]:
        """Why each of their indexes has its `ef_search`; None where nobody chose it."""
        with self._sessions.begin() as session:
            found = find_tunings(session, [one.index.id for one in known])
        return [found.get(one.index.id) for one in known]

    def delete(self, known: KnownCollection) -> None:
        """Delete it with its pictures, vectors, jobs, uploaded files and thumbnails.

        Files in the user's folders and buckets are kept. Raises CollectionRejected,
        CollectionNotFound.
        """
        collection = known.collection
        if collection.id == self.default.collection.id:
            raise CollectionRejected(
                "The default collection cannot be deleted: the flat endpoints use it."
            )
        self._collection_deletion.mark_deleted(collection)
        with self._lock:
            self._opened.pop(collection.id, None)
        self._collection_deletion.clear(collection.id)


def _with_index(session: Session, found: Sequence[Collection]) -> list[KnownCollection]:
    by_collection = vector_indexes.active_indexes(session, [one.id for one in found])
    return [KnownCollection(one, by_collection[one.id]) for one in found if one.id in by_collection]
