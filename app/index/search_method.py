"""Whether an index is searched exactly: by comparing all of its vectors, without its graph."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.database.snapshots import SNAPSHOT
from app.database.tables import VectorIndex
from app.index import vector_indexes


def is_searched_exactly(session: Session, index: VectorIndex) -> bool:
    """Whether all vectors are compared in a search: there are few, or no graph, or a poor one.

    Few are EXACT_ROWS, or MOST_EXACT_ROWS instead of a poor graph. The planner's estimate settles
    it for large indexes; only small ones are counted.
    """
    return bool(session.execute(SEARCHED_EXACTLY, bounds(index)).one().exact)


def bounds(index: VectorIndex) -> dict[str, Any]:
    """The parameters of SEARCHED_EXACTLY for an index."""
    return {
        "graph": vector_indexes.hnsw_name(index),
        "partition": index.partition,
        "id": index.id,
        "least_recall": vector_indexes.MIN_GRAPH_RECALL,
        "few": vector_indexes.EXACT_ROWS,
        "few_of_poor": vector_indexes.MOST_EXACT_ROWS,
    }


# A single statement, since it goes before each search; what the transaction sees is told on the
# way. The count comes last: CASE goes only as far as it must.
SEARCHED_EXACTLY = text(f"""
SELECT {SNAPSHOT} AS snapshot, CASE
    WHEN to_regclass(:graph) IS NULL THEN true
    WHEN (SELECT reltuples FROM pg_class WHERE oid = to_regclass(:partition)) > 2 * few THEN false
    ELSE few >= (
        SELECT count(*)
        FROM (SELECT FROM embeddings WHERE index_id = :id LIMIT greatest(few + 1, 0)) AS counted
    ) END AS exact
FROM (
    SELECT CASE
        WHEN (SELECT graph_recall FROM vector_indexes WHERE id = :id) < :least_recall
        THEN CAST(:few_of_poor AS bigint) ELSE CAST(:few AS bigint)
    END AS few
) AS bound
""")  # noqa: S608  # ours
