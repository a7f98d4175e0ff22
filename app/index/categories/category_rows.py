"""SQL on the graphs of labels: which there are, and which there should be.

A graph is a partial HNSW index of `category_vectors`, over the rows with its id. Every function
takes a Session and leaves the transaction to its caller.
"""

from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from app.database.category_tables import category_graphs
from app.database.label_tables import image_labels, label_sets
from app.database.tables import VectorIndex, images, vector_indexes


@dataclass(frozen=True)
class SetLabel:
    """A label of the set with this id."""

    set_id: int
    name: str


@dataclass(frozen=True)
class Within:
    """A search is made among pictures that have all of these labels; `is_all`: among all such."""

    labels: tuple[SetLabel, ...]
    is_all: bool


Key = tuple[int, int, str]
"""What a graph is of: a label set's id, its revision, and a label."""


@dataclass(frozen=True)
class CategoryGraph:
    """A graph over the pictures of an index with a label, as its set was at this revision.

    It was built of about `vectors`. Searches use those that are `ready`.
    """

    id: int
    index_id: int
    set_id: int
    revision: int
    label: str
    vectors: int
    ready: bool

    @property
    def name(self) -> str:
        """Its name in Postgres."""
        return f"{NAME_PREFIX}{self.id}{NAME_SUFFIX}"

    @property
    def key(self) -> Key:
        """What it is a graph of."""
        return self.set_id, self.revision, self.label


NAME_PREFIX, NAME_SUFFIX = "category_", "_hnsw_idx"
_COLUMNS = [category_graphs.c[name] for name in CategoryGraph.__dataclass_fields__]


def of_index(session: Session, index: VectorIndex) -> list[CategoryGraph]:
    """The graphs of an index, the oldest first."""
    return _read(session, category_graphs.c.index_id == index.id)


def of_inactive(session: Session) -> list[CategoryGraph]:
    """The graphs of indexes that searches use no longer."""
    active = select(vector_indexes.c.id).where(vector_indexes.c.state == "active")
    return _read(session, category_graphs.c.index_id.not_in(active))


def _read(session: Session, *where: ColumnElement[bool]) -> list[CategoryGraph]:
    query = select(*_COLUMNS).where(*where).order_by(category_graphs.c.id)
    return [CategoryGraph(**row) for row in session.execute(query).mappings()]


def find(session: Session, index: VectorIndex, within: Within) -> CategoryGraph | None:
    """The smallest graph that a search within these labels can use."""
    if index.has_parts:  # its graphs, if there are any left, have whole pictures alone
        return None
    wanted = [(label.set_id, label.name) for label in within.labels]
    query = (
        select(*_COLUMNS)
        .join_from(category_graphs, label_sets, category_graphs.c.set_id == label_sets.c.id)
        .where(
            category_graphs.c.index_id == index.id,
            category_graphs.c.ready,
            category_graphs.c.revision == label_sets.c.revision,
            tuple_(category_graphs.c.set_id, category_graphs.c.label).in_(wanted),
        )
        .order_by(category_graphs.c.vectors, category_graphs.c.id.desc())
        .limit(1)
    )
    row = session.execute(query).mappings().one_or_none()
    return CategoryGraph(**row) if row else None


def with_graph(session: Session, set_id: int, revision: int) -> list[str]:
    """The labels of a set, as it was at this revision, that searches use graphs of."""
    graphs = _read(
        session,
        category_graphs.c.set_id == set_id,
        category_graphs.c.revision == revision,
        category_graphs.c.ready,
    )
    return sorted({graph.label for graph in graphs})


def is_ready(session: Session, graph_id: int) -> bool:
    """Whether searches may use it, still."""
    query = select(category_graphs.c.ready).where(category_graphs.c.id == graph_id)
    return bool(session.execute(query).scalar_one_or_none())


def lock_set(session: Session, key: Key) -> bool:
    """Keep a set from being deleted or changed; False: it was, or is no category any more."""
    set_id, revision, _ = key
    query = select(label_sets.c.id).where(
        label_sets.c.id == set_id, label_sets.c.revision == revision, IS_CATEGORY
    )
    return session.execute(query.with_for_update(read=True)).first() is not None


def register(session: Session, index: VectorIndex, key: Key, vectors: int) -> CategoryGraph:
    """Begin a graph: from now on its copies follow.

    Waits for all who may have changed labels or vectors without knowing of it. The caller has
    locked the rows of index and set, as those others do before.
    """
    session.execute(text("LOCK TABLE category_graphs IN EXCLUSIVE MODE"))
    set_id, revision, label = key
    values = {"set_id": set_id, "revision": revision, "label": label}
    query = insert(category_graphs).values(index_id=index.id, vectors=vectors, **values)
    row = session.execute(query.returning(*_COLUMNS)).mappings().one()
    return CategoryGraph(**row)


def set_ready(session: Session, graph_id: int, *, ready: bool) -> None:
    """Let searches use it, or no longer."""
    query = update(category_graphs).where(category_graphs.c.id == graph_id)
    session.execute(query.values(ready=ready))


def remove(session: Session, graph_id: int) -> None:
    """Delete it with its copies."""
    session.execute(delete(category_graphs).where(category_graphs.c.id == graph_id))


IS_CATEGORY = label_sets.c.definition["category"].as_boolean()


def concerned(session: Session) -> set[int]:
    """The ids of collections that have categories, or graphs of what were some."""
    having = select(label_sets.c.collection_id).where(IS_CATEGORY)
    had = select(label_sets.c.collection_id).where(
        label_sets.c.id.in_(select(category_graphs.c.set_id))
    )
    return set(session.execute(having.union(had)).scalars())


def count_categories(session: Session, index: VectorIndex) -> dict[Key, int]:
    """How many pictures have each of the labels that are categories.

    Of sets whose prompts the index's model has embedded.
    """
    is_told = (image_labels.c.set_id == label_sets.c.id) & (
        image_labels.c.revision == label_sets.c.revision
    )
    key = (label_sets.c.id, label_sets.c.revision, image_labels.c.label)
    query = (
        select(*key, func.count())
        .join_from(label_sets, image_labels, is_told)
        .join(images, images.c.id == image_labels.c.image_id)
        .where(
            label_sets.c.collection_id == index.collection_id,
            images.c.collection_id == index.collection_id,
            label_sets.c.fingerprint == index.fingerprint,
            IS_CATEGORY,
        )
        .group_by(*key)
    )
    return {(set_id, revision, name): n for set_id, revision, name, n in session.execute(query)}


def orphans(session: Session) -> list[str]:
    """The names of indexes of graphs that are gone, with their set or their index."""
    return list(session.execute(text(ORPHANS)).scalars())


ORPHANS = rf"""
SELECT name FROM (
    SELECT c.relname AS name, substring(c.relname FROM '^{NAME_PREFIX}(\d+){NAME_SUFFIX}$') AS id
    FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
    WHERE x.indrelid = 'category_vectors'::regclass
) AS built
WHERE id IS NOT NULL AND NOT EXISTS (SELECT FROM category_graphs g WHERE g.id = built.id::integer)
"""  # noqa: S608  # ours
