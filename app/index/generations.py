"""SQL on the generations of a collection's embeddings: another grows beside the active one.

A generation is `building` while a job fills it, `ready` once it can be activated, then `active`,
and `retired` when another one took its place. All but the first are kept complete: what they lack
is found by a query (`missing_vectors`), and a picture with new content loses its vectors in all of
them but the active one.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, exists, func, or_, select, update
from sqlalchemy.orm import Session

from app.database.job_tables import jobs
from app.database.tables import INDEX_COLUMNS, Regions, VectorIndex, embeddings, vector_indexes
from app.errors import GenerationConflict, GenerationNotFound
from app.index.vector_indexes import (
    Shape,
    claim,
    create_index,
    drop_index,
    hnsw_name,
    lock,
)
from app.vectors import VectorSpace

ROW_BYTES = 100
"""Of a vector's row without the vector: header, numbers, and entries of two B-trees."""

ELEMENT_BYTES = 88
"""Of an element of pgvector's graph without vector and neighbours."""

GROWING = vector_indexes.c.state.in_(("building", "ready"))
COMPLETE = vector_indexes.c.state.in_(("ready", "active", "retired"))


@dataclass(frozen=True)
class Generation:
    """An index with its state; `job_id` is that of the reindexing that made it, if one did.

    `measured` is the `RecallMeasurement` of that job, as a mapping. `regions` are its own where the
    collection has others; None: those of the collection.
    """

    index: VectorIndex
    state: str
    job_id: int | None
    measured: Mapping[str, Any] | None
    regions: Regions | None
    created_at: datetime
    retired_at: datetime | None

    @classmethod
    def of(cls, row: RowMapping) -> "Generation":
        """From a row of GENERATION_COLUMNS."""
        index = VectorIndex(**{name: row[name] for name in VectorIndex.__dataclass_fields__})
        return cls(index, **{name: row[name] for name in OWN_COLUMNS})


OWN_COLUMNS = ("state", "job_id", "measured", "regions", "created_at", "retired_at")
GENERATION_COLUMNS = [*INDEX_COLUMNS, *(vector_indexes.c[name] for name in OWN_COLUMNS)]


@dataclass(frozen=True)
class Size:
    """How many vectors a generation holds, and its bytes on disk, graph included."""

    vectors: int
    bytes: int


def of_model(session: Session, model: str, pretrained: str) -> list[Generation]:
    """All generations of a model's vectors, in any collection and precision; the oldest first."""
    query = select(*GENERATION_COLUMNS).where(
        vector_indexes.c.model == model, vector_indexes.c.pretrained == pretrained
    )
    rows = session.execute(query.order_by(vector_indexes.c.id)).mappings()
    return [Generation.of(row) for row in rows]


def require_none_growing(session: Session, active: VectorIndex) -> None:
    """Make sure, until the transaction ends, that no generation is building or ready.

    Raises GenerationConflict.
    """
    lock(session, f"collection {active.collection_id}")
    growing_query = select(vector_indexes.c.id, vector_indexes.c.state).where(
        vector_indexes.c.collection_id == active.collection_id, GROWING
    )
    for growing in session.execute(growing_query):
        raise GenerationConflict(
            f"Generation {growing.id} of this collection is {growing.state}: activate or delete "
            "it first, or cancel its job."
        )


def begin(
    session: Session,
    active: VectorIndex,
    space: VectorSpace,
    shape: Shape,
    job_id: int,
    own_regions: Regions | None = None,
) -> VectorIndex:
    """A generation in the state `building` that a job fills.

    What was measured of the vectors themselves is taken over if the model is the same. Raises
    CollectionRejected, GenerationConflict.
    """
    require_none_growing(session, active)
    index = create_index(session, active.collection_id, space, shape, state="building")
    _set(session, index, job_id=job_id, regions=own_regions)
    if space.fingerprint == active.fingerprint:
        former = select(vector_indexes.c.chance, vector_indexes.c.trial)
        chance, trial = session.execute(former.where(vector_indexes.c.id == active.id)).one()
        _set(session, index, chance=chance, trial=trial)
    return index


def become_ready(session: Session, index: VectorIndex, measured: Mapping[str, Any]) -> None:
    """It is whole, and may be activated."""
    _set(session, index, measured=dict(measured))
    query = update(vector_indexes).where(
        vector_indexes.c.id == index.id, vector_indexes.c.state == "building"
    )
    session.execute(query.values(state="ready"))


def _set(session: Session, index: VectorIndex, **values: Any) -> None:
    session.execute(update(vector_indexes).where(vector_indexes.c.id == index.id).values(**values))


def of_collection(session: Session, collection_id: int) -> list[Generation]:
    """All generations of a collection, the newest first."""
    return _read(session, vector_indexes.c.collection_id == collection_id)


def get(session: Session, collection_id: int, generation_id: int) -> Generation:
    """One generation of a collection. Raises GenerationNotFound."""
    found = _read(
        session,
        vector_indexes.c.collection_id == collection_id,
        vector_indexes.c.id == generation_id,
    )
    if not found:
        raise GenerationNotFound(f"This collection has no generation {generation_id}.")
    return found[0]


def own_regions(session: Session, index: VectorIndex) -> Regions | None:
    """The regions that it has where the collection may have others; None: the collection's."""
    query = select(vector_indexes.c.regions).where(vector_indexes.c.id == index.id)
    found: Regions | None = session.execute(query).scalar_one_or_none()
    return found


def set_own_regions(session: Session, index: VectorIndex, kind: Regions | None) -> None:
    """Say that it has regions of its own, or None: those of the collection."""
    _set(session, index, regions=kind)


def of_job(session: Session, job_id: int) -> Generation | None:
    """The generation that a job fills; None if it was deleted."""
    found = _read(session, vector_indexes.c.job_id == job_id)
    return found[0] if found else None


def kept_complete(session: Session) -> list[Generation]:
    """The generations, of all collections, that must not lack a picture."""
    others = vector_indexes.alias("others")
    has_others = exists().where(
        others.c.collection_id == vector_indexes.c.collection_id, others.c.id != vector_indexes.c.id
    )
    # An active one by itself is complete, unless it was activated while pictures came.
    return _read(session, COMPLETE, or_(has_others, vector_indexes.c.job_id.is_not(None)))


def soon_searched(session: Session) -> list[VectorIndex]:
    """The generations, of all collections, that are building or ready."""
    return [generation.index for generation in _read(session, GROWING)]


def superfluous(session: Session, keep: int, grace: timedelta) -> list[VectorIndex]:
    """Generations to be dropped: what no job builds any more, and retired ones beyond `keep`.

    None that was active within `grace`: a request may still be reading it.
    """
    own = vector_indexes.c
    place = func.rank().over(
        partition_by=(own.collection_id, own.state), order_by=own.retired_at.desc()
    )
    ranked = select(own.id, place.label("place")).subquery()
    job_is_open = exists().where(jobs.c.id == own.job_id, jobs.c.finished_at.is_(None))
    is_old = (own.state == "retired") & (own.retired_at < func.now() - grace)
    beyond = own.id.in_(select(ranked.c.id).where(ranked.c.place > keep))
    found = _read(session, or_((own.state == "building") & ~job_is_open, is_old & beyond))
    return [generation.index for generation in found]


def _read(session: Session, *where: ColumnElement[bool]) -> list[Generation]:
    query = select(*GENERATION_COLUMNS).where(*where).order_by(vector_indexes.c.id.desc())
    return [Generation.of(row) for row in session.execute(query).mappings()]


def size(session: Session, index: VectorIndex) -> Size:
    """Counts its vectors, which takes 0.1 s for a million."""
    counted = select(func.count()).where(embeddings.c.index_id == index.id)
    vectors = session.execute(counted.select_from(embeddings)).scalar_one()
    bytes_ = session.execute(
        select(func.coalesce(func.pg_total_relation_size(func.to_regclass(index.partition)), 0))
    ).scalar_one()
    return Size(vectors, bytes_)


def bytes_a_vector(dimensions: int, shape: Shape) -> int:
    """What a vector takes on disk, about: its row, two B-tree entries, its place in the graph."""
    full = 8 + (4 if shape.storage == "vector" else 2) * dimensions
    in_graph = 8 + dimensions // 8 if shape.storage == "bit" else full
    neighbours = 12.4 * shape.m  # 6 bytes each, 2 m of them, and m on each layer above
    return round(ROW_BYTES + full + ELEMENT_BYTES + in_graph + neighbours)


def claim_both(session: Session, active: VectorIndex, target: VectorIndex) -> None:
    """Wait for writers of both and block new ones until the transaction ends.

    Raises IndexGone if `active` is active no more, GenerationConflict if `target` may not be.
    """
    claim(session, active)
    query = select(vector_indexes.c.state).where(vector_indexes.c.id == target.id)
    state = session.execute(query.with_for_update()).scalar_one_or_none()
    if state not in {"ready", "retired"}:
        raise GenerationConflict(
            f"Generation {target.id} is {state or 'deleted'}: only one that is ready, or was "
            "active before, can be activated."
        )


def swap(session: Session, active: VectorIndex, target: VectorIndex) -> None:
    """Make `target` the active index; both must be claimed."""
    _set(session, active, state="retired", retired_at=func.now())
    _set(session, target, state="active", retired_at=None)


def drop(session: Session, index: VectorIndex) -> None:
    """Delete a generation that is not active, with its vectors. Raises GenerationConflict.

    Waits for a build of its graph.
    """
    lock(session, hnsw_name(index))
    query = select(vector_indexes.c.state).where(vector_indexes.c.id == index.id)
    state = session.execute(query.with_for_update()).scalar_one_or_none()
    if state == "active":
        raise GenerationConflict(f"Generation {index.id} is active: searches need it.")
    if state is not None:
        drop_index(session, index)


def drop_all(session: Session, collection_id: int) -> None:
    """Delete all indexes of a collection. Waits for those who write to them or build a graph.

    The lock on `embeddings`, which every search reads, is taken last.
    """
    retire = update(vector_indexes).where(vector_indexes.c.collection_id == collection_id)
    retire = retire.values(state="retired").returning(*INDEX_COLUMNS)
    found = [VectorIndex(**row) for row in session.execute(retire).mappings()]
    for index in found:
        lock(session, hnsw_name(index))
    for index in found:
        drop_index(session, index)
