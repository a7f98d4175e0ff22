"""SQL on the vectors that the graphs of labels are built on.

A picture's vector is copied once for each graph that it is in. A partial index of `embeddings`
itself would need a column there that names the labels: whenever one changes, the row would get a
new entry in all indexes, the graph of the whole index too. The copies follow labels and vectors in
the transaction that changes them, so a graph never lacks a picture that has its label. It may have
others, which the filter of the search leaves out.

Every function takes a Session and leaves the transaction to its caller.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from app.database.category_tables import category_graphs, category_vectors
from app.database.label_tables import image_labels
from app.database.tables import VectorIndex, embeddings, images
from app.index.categories.category_rows import CategoryGraph
from app.index.hnsw_search import any_of
from app.index.shuffling import shuffled

SHUFFLED = shuffled(image_labels.c.image_id)
"""The order in which graphs are filled, as in `graph_rebuild`."""


def follow_vectors(session: Session, index: VectorIndex, image_ids: Sequence[int]) -> None:
    """Copy the vectors of pictures anew, once they have changed in the index."""
    _follow(session, image_ids, category_graphs.c.index_id == index.id)


def follow_labels(session: Session, set_id: int, image_ids: Sequence[int]) -> None:
    """Copy and forget what a set has just told of pictures."""
    _follow(session, image_ids, category_graphs.c.set_id == set_id)


def leave(session: Session, index: VectorIndex, image_ids: Sequence[int]) -> None:
    """Forget pictures that are no longer of the index's collection."""
    of_index = select(category_graphs.c.id).where(category_graphs.c.index_id == index.id)
    session.execute(
        delete(category_vectors).where(
            category_vectors.c.graph_id.in_(of_index),
            category_vectors.c.image_id == any_of(image_ids),
        )
    )


def _follow(session: Session, image_ids: Sequence[int], which: ColumnElement[bool]) -> None:
    # The lock on the graphs' rows is what `register` waits for, also where there are none.
    query = select(category_graphs.c.index_id, category_graphs.c.id).where(which)
    by_index: dict[int, list[int]] = defaultdict(list)
    for index_id, graph_id in session.execute(query.with_for_update(read=True, key_share=True)):
        by_index[index_id].append(graph_id)
    for index_id, graph_ids in by_index.items():
        _forget(session, graph_ids, image_ids)
        values = upsert(category_vectors).from_select(
            COPIED, _copies(index_id, graph_ids, image_ids)
        )
        new = values.excluded
        session.execute(
            values.on_conflict_do_update(
                index_elements=["graph_id", "image_id"],
                set_={"embedding": new.embedding, "full_embedding": new.full_embedding},
                where=or_(  # what has not changed needs no new place in the graph
                    category_vectors.c.embedding.is_distinct_from(new.embedding),
                    category_vectors.c.full_embedding.is_distinct_from(new.full_embedding),
                ),
            )
        )


def fill(session: Session, graph: CategoryGraph, image_ids: Sequence[int]) -> None:
    """Copy the vectors of pictures that have the label; what others have copied stays.

    Pictures that are being changed or deleted are left out: whoever does that copies them.
    """
    query = select(images.c.id).where(images.c.id == any_of(image_ids)).order_by(images.c.id)
    query = query.with_for_update(read=True, key_share=True, skip_locked=True)
    there = list(session.execute(query).scalars())
    copies = _copies(graph.index_id, [graph.id], there)
    values = upsert(category_vectors).from_select(COPIED, copies)
    session.execute(values.on_conflict_do_nothing())


COPIED = ["graph_id", "image_id", "embedding", "full_embedding"]
HOLDS = and_(
    image_labels.c.set_id == category_graphs.c.set_id,
    image_labels.c.label == category_graphs.c.label,
    image_labels.c.revision == category_graphs.c.revision,
)
"""SQL condition on both tables: the row is a label that the graph is of."""


def _copies(index_id: int, graph_ids: Sequence[int], image_ids: Sequence[int]) -> Select[Any]:
    """The rows that these graphs of the index should have of these pictures, shuffled."""
    return (
        select(
            category_graphs.c.id,
            embeddings.c.image_id,
            embeddings.c.embedding,
            embeddings.c.full_embedding,
        )
        .join_from(category_graphs, image_labels, HOLDS)
        .join(embeddings, embeddings.c.image_id == image_labels.c.image_id)
        .where(
            category_graphs.c.id == any_of(graph_ids),
            image_labels.c.image_id == any_of(image_ids),
            embeddings.c.image_id == any_of(image_ids),
            embeddings.c.index_id == index_id,
            embeddings.c.region == 0,
        )
        .order_by(SHUFFLED)
    )


def _forget(session: Session, graph_ids: Sequence[int], image_ids: Sequence[int]) -> None:
    """Delete the copies of those of the pictures that have the labels no longer."""
    holds = exists().where(HOLDS, image_labels.c.image_id == category_vectors.c.image_id)
    session.execute(
        delete(category_vectors).where(
            category_vectors.c.graph_id == category_graphs.c.id,
            category_graphs.c.id == any_of(graph_ids),
            category_vectors.c.image_id == any_of(image_ids),
            ~holds.correlate(category_graphs, category_vectors),
        )
    )


def lacking(session: Session, graph: CategoryGraph) -> list[int]:
    """The pictures with the label and a vector that it has no copy of, shuffled."""
    there = exists().where(
        embeddings.c.index_id == graph.index_id,
        embeddings.c.image_id == image_labels.c.image_id,
        embeddings.c.region == 0,
    )
    copied = exists().where(
        category_vectors.c.graph_id == graph.id,
        category_vectors.c.image_id == image_labels.c.image_id,
    )
    query = select(image_labels.c.image_id).where(*_is_told(graph), there, ~copied)
    return list(session.execute(query.order_by(SHUFFLED)).scalars())


def forget_others(session: Session, graph: CategoryGraph) -> None:
    """Delete the copies of all pictures that do not have the label."""
    holds = exists().where(*_is_told(graph), image_labels.c.image_id == category_vectors.c.image_id)
    query = delete(category_vectors).where(category_vectors.c.graph_id == graph.id, ~holds)
    session.execute(query)


def _is_told(graph: CategoryGraph) -> tuple[ColumnElement[bool], ...]:
    return (
        image_labels.c.set_id == graph.set_id,
        image_labels.c.label == graph.label,
        image_labels.c.revision == graph.revision,
    )


def count_copies(session: Session, graphs: Sequence[CategoryGraph]) -> dict[int, int]:
    """How many pictures each of the graphs has, by their ids; none of those without any."""
    column = category_vectors.c.graph_id
    query = select(column, func.count()).where(column == any_of([one.id for one in graphs]))
    return dict(session.execute(query.group_by(column)).tuples().all()) if graphs else {}
