"""The statement that walks the graph of a label."""

from typing import Any

from sqlalchemy import ColumnElement, Select

from app.database.category_tables import category_vectors
from app.database.tables import VectorIndex, images
from app.index.hnsw_search import not_deleted, passing_rows, walk
from app.vectors import Vectors


def nearest_in_category(
    index: VectorIndex,
    graph_id: int,
    vector: Vectors,
    condition: ColumnElement[bool],
    reach: int | None,
    without: int | None,
) -> Select[Any]:
    """As `hnsw_search.nearest_query`, all rows, by the graph with this id.

    It has pictures that have lost the label or moved elsewhere, until the next maintenance: the
    condition, which demands the label, and the collection are looked up.
    """
    walked, order = walk(index, category_vectors, vector)
    # A literal, as in the predicate of the graph: so the planner knows that it may use it.
    walked = walked.where(category_vectors.c.graph_id == graph_id)
    walked = walked.where(not_deleted(category_vectors.c.image_id))
    if without is not None:
        walked = walked.where(category_vectors.c.image_id != without)
    here = images.c.collection_id == index.collection_id
    return passing_rows(walked, order, condition & here, reach)
