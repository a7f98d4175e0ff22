"""Why an index has its `ef_search`, kept with it, and when the service chooses it anew."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex, vector_indexes
from app.index import vector_indexes as index_rows
from app.index.recall_results import Kind, TuningResult

Chooser = Literal["service", "admin"]

GROWTH = 2  # times the vectors of the last choice, from where on another may be better


@dataclass(frozen=True)
class Tuning:
    """`by` whom it was chosen, for the recall@k that was `wanted`, at so many `vectors`.

    `recall` is that of held-out queries of the `worse` kind, `p50_ms` the milliseconds that one
    took. Not `reached`: the service took the largest there is.
    """

    by: Chooser
    k: int
    wanted: float
    reached: bool
    recall: float
    worse: Kind
    p50_ms: float
    vectors: int

    @classmethod
    def of(cls, by: Chooser, result: TuningResult) -> "Tuning":
        """What is kept of a result."""
        last = result.tried[-1]
        recall = last.recall if last.held_out is None else last.held_out
        return cls(
            by,
            result.k,
            result.wanted,
            result.reached,
            recall,
            last.worse,
            last.p50_ms,
            result.vectors,
        )

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> "Tuning | None":
        """What was kept, also by a later version; None where it lacks something."""
        names = cls.__dataclass_fields__
        return cls(**{name: kept[name] for name in names}) if names.keys() <= kept.keys() else None


@dataclass(frozen=True)
class Choice:
    """An index's `ef_search` and, as it is kept, why; each None where it has none."""

    ef_search: int | None = None
    kept: Mapping[str, Any] | None = None

    @property
    def tuning(self) -> Tuning | None:
        """As `find_tunings`."""
        return None if self.kept is None else Tuning.read(self.kept)


def get_choice(session: Session, index: VectorIndex) -> Choice:
    """What holds for the index now. Raises IndexGone."""
    query = select(vector_indexes.c.ef_search, vector_indexes.c.tuning)
    row = session.execute(query.where(vector_indexes.c.id == index.id)).one_or_none()
    if row is None:
        raise index_rows.no_index()
    return Choice(*row)


def replace_choice(
    session: Session, index: VectorIndex, former: Choice, ef_search: int, tuning: Tuning
) -> bool:
    """As `keep_tuning`, unless something else than `former` holds by now; whether it did so."""
    query = update(vector_indexes).where(
        vector_indexes.c.id == index.id,
        vector_indexes.c.ef_search.is_not_distinct_from(former.ef_search),
        vector_indexes.c.tuning.is_not_distinct_from(former.kept),
    )
    query = query.values(ef_search=ef_search, tuning=asdict(tuning))
    return session.execute(query.returning(vector_indexes.c.id)).one_or_none() is not None


def keep_tuning(session: Session, index: VectorIndex, ef_search: int, tuning: Tuning) -> None:
    """Set the `ef_search` of the index's searches from now on."""
    query = update(vector_indexes).where(vector_indexes.c.id == index.id)
    session.execute(query.values(ef_search=ef_search, tuning=asdict(tuning)))


def find_tunings(session: Session, index_ids: Sequence[int]) -> dict[int, Tuning]:
    """That of those of the indexes whose `ef_search` was chosen, by their ids.

    Not where a version before 0059 chose it, nor what a later one keeps in another form.
    """
    query = select(vector_indexes.c.id, vector_indexes.c.tuning).where(
        vector_indexes.c.id.in_(index_ids), vector_indexes.c.tuning.is_not(None)
    )
    read = {index_id: Tuning.read(kept) for index_id, kept in session.execute(query)}
    return {index_id: tuning for index_id, tuning in read.items() if tuning is not None}


def due_from(choice: Choice) -> int | None:
    """The number of vectors from which on the service should choose anew; None: it should not.

    Not where searches may still compare all vectors instead, and not what people chose for a recall
    that is not known.
    """
    if choice.tuning is not None:
        return GROWTH * choice.tuning.vectors
    return None if choice.ef_search else index_rows.MOST_EXACT_ROWS + 1
