"""The requests about generations: build another, list them, activate one, go back, delete one."""

from dataclasses import dataclass
from functools import partial

from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.database.tables import Regions, VectorIndex
from app.encoders.batching import Priority
from app.encoders.model_pool import ModelName
from app.errors import CollectionRejected, GenerationConflict, GenerationNotFound
from app.feedback import carried_ratings
from app.index import generations, missing_vectors, regions
from app.index.generations import Generation, Size
from app.runtime.collection_registry import CollectionRegistry
from app.runtime.known_collections import KnownCollection
from app.runtime.reindexing import region_exchange, reindex_jobs
from app.runtime.reindexing.changes import Changes, require_change
from app.runtime.reindexing.generation_fill import GenerationFill, Record, copy_from_siblings

MOST_MISSING = 1_000  # pictures that an activation adds itself; with more it is refused
LAST_PICTURES = 100  # that may be missing at the swap, while others write without pause
ROUNDS = 10  # of adding what came meanwhile, before LAST_PICTURES may be missing
TEXT_BATCH = 8  # rated queries encoded at a time: searches go between them


@dataclass(frozen=True)
class ListedGeneration:
    """A generation, its size and regions, and how many readable pictures it lacks."""

    generation: Generation
    size: Size
    missing: int
    regions: Regions


@dataclass(frozen=True)
class Activation:
    """The index that is active now, and the pictures that it lacks: they are added soon.

    `ratings_left` stay with the former generation: those of queries by pictures, which another
    model would have to see.
    """

    index: VectorIndex
    missing: int
    ratings_left: int


@dataclass(frozen=True)
class Reindexing:
    """Answers requests about the generations of collections. `queue` is that of this disk."""

    sessions: Sessions
    registry: CollectionRegistry
    fill: GenerationFill
    queue: str
    max_resident_models: int

    def submit(self, known: KnownCollection, changes: Changes, *, dry_run: bool = False) -> int:
        """A job that builds another generation; returns its id. It loads the model, if any.

        A dry run says what it would take, and builds none.
        Raises AnnotatorUnavailable, CollectionRejected, GenerationConflict.
        """
        self.fill.check_regions(changes.regions)
        wanted = changes.resolved(known.index)
        if self.registry.models.has_model(known.index, changes.model_of(known.index)):
            own_regions = wanted.regions_beside(known.collection.regions)
            shape = wanted.shape(known.index)
            require_change(known.index, known.index.space, shape, own_regions)
        else:
            self._check_model(known, changes.model)
        begin = partial(self._begin, active=known.index, wanted=wanted, dry_run=dry_run)
        return retry_on_lock(self.sessions, begin)

    def _check_model(self, known: KnownCollection, model: ModelName | None) -> None:
        if model is not None and not model.has_weights_of(ModelName.of(known.index.space)):
            self.registry.models.allowed(model)
        if self.max_resident_models < 2:
            raise CollectionRejected(
                "model: two models must fit into memory for this. Set "
                "IMAGE_SEARCH_MAX_RESIDENT_MODELS=2."
            )

    def _begin(self, session: Session, active: VectorIndex, wanted: Changes, dry_run: bool) -> int:
        collection_id = active.collection_id
        if not dry_run:
            generations.require_none_growing(session, active)
            reindex_jobs.require_none_open(session, collection_id)
        return reindex_jobs.create(session, collection_id, self.queue, wanted, dry_run=dry_run)

    def listed(self, known: KnownCollection) -> list[ListedGeneration]:
        """All generations of the collection, the newest first."""
        collection_id = known.collection.id
        with self.sessions.begin() as session:
            return [
                ListedGeneration(
                    generation,
                    generations.size(session, generation.index),
                    missing_vectors.count_missing(session, generation.index),
                    regions.kind(session, generation.index),
                )
                for generation in generations.of_collection(session, collection_id)
            ]

    def activate(self, known: KnownCollection, generation_id: int) -> Activation:
        """Have searches use a generation that is ready, or was active before.

        Its model is warm first, and it has all pictures but for those that come just now. Raises
        GenerationNotFound, GenerationConflict, ModelUnavailable.
        """
        with self.sessions.begin() as session:
            generation = generations.get(session, known.collection.id, generation_id)
        if generation.state not in {"ready", "retired"}:
            raise GenerationConflict(
                f"Generation {generation_id} is {generation.state}: only one that is ready, or was "
                "active before, can be activated."
            )
        index = generation.index
        record = partial(reindex_jobs.count_later, generation.job_id)
        if index.fingerprint != known.index.fingerprint:
            self.registry.models.encoder_of(index).load()
        for remaining in reversed(range(ROUNDS)):
            self._complete(index, record)
            self._encode_rated(known.index, index)
            done = retry_on_lock(
                self.sessions,
                partial(
                    _swap,
                    active=known.index,
                    target=index,
                    most_missing=0 if remaining else LAST_PICTURES,
                ),
            )
            if done is not None:
                return done
        raise GenerationConflict(
            f"Pictures are added faster than generation {generation_id} can index them. Try "
            "again when fewer are added."
        )

    def roll_back(self, known: KnownCollection) -> Activation:
        """Activate the generation that was active before. Raises as `activate`."""
        with self.sessions.begin() as session:
            found = generations.of_collection(session, known.collection.id)
        former = [one for one in found if one.state == "retired" and one.retired_at is not None]
        if not former:
            raise GenerationNotFound(
                "There is no former generation: IMAGE_SEARCH_KEEP_GENERATIONS says how many are "
                "kept."
            )
        latest = max(former, key=_retired_at)
        return self.activate(known, latest.index.id)

    def delete(self, known: KnownCollection, generation_id: int) -> None:
        """Drop a generation that nobody uses. Raises GenerationNotFound, GenerationConflict."""
        with self.sessions.begin() as session:
            generation = generations.get(session, known.collection.id, generation_id)
        if generation.state == "building":
            raise GenerationConflict(
                f"Generation {generation_id} is building: cancel job {generation.job_id}."
            )
        retry_on_lock(self.sessions, partial(generations.drop, index=generation.index))

    def _complete(self, index: VectorIndex, record: Record) -> None:
        """Add what is missing, unless that is much: then workers are at it."""
        with self.sessions.begin() as session:
            missing = missing_vectors.count_missing(session, index)
        if missing > MOST_MISSING:
            raise GenerationConflict(
                f"Generation {index.id} lacks {missing} pictures that came since it was built; a "
                "worker adds them now. Try again in a while."
            )
        if missing:
            self.fill.run(index, record)

    def _encode_rated(self, former: VectorIndex, index: VectorIndex) -> None:
        """Encode the rated texts with the other model. Never inside a transaction."""
        if former.fingerprint == index.fingerprint:
            return
        with self.sessions.begin() as session:
            texts = carried_ratings.texts_to_encode(session, former, index)
        encoder = self.registry.models.encoder_of(index)
        for start in range(0, len(texts), TEXT_BATCH):
            some = texts[start : start + TEXT_BATCH]
            vectors = encoder.encode_texts([one.text for one in some], Priority.INDEXING)
            with self.sessions.begin() as session:
                carried_ratings.put_queries(session, index, some, vectors)


def _retired_at(generation: Generation) -> float:
    return generation.retired_at.timestamp() if generation.retired_at else 0.0


def _swap(
    session: Session, active: VectorIndex, target: VectorIndex, most_missing: int
) -> Activation | None:
    """The swap, unless more pictures are missing; writers wait meanwhile, searches do not."""
    exchange = region_exchange.begin(session, target)
    generations.claim_both(session, active, target)
    last = missing_vectors.missing(session, target, 0, LAST_PICTURES)
    copy_from_siblings(session, target, last, exchange.kind if exchange else None)
    missing = missing_vectors.count_missing(session, target)
    if missing > most_missing:
        return None
    left = carried_ratings.carry(session, active, target)
    generations.swap(session, active, target)
    if exchange is not None:
        exchange.end(session, active, target)
    return Activation(target, missing, left)
