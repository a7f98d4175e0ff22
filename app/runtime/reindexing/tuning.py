"""A tuned ef_search belongs to one graph: another one gets its own, for the same recall."""

from app.errors import QueryRejected
from app.index.recall import MAX_TARGET_RECALL, MIN_TARGET_RECALL, Recall


def ef_search_like(former: Recall, new: Recall, *, texts: bool = True) -> int | None:
    """The smallest ef_search with which `new` finds as much as `former` does with its own.

    The largest, if none does; None where the former was not tuned, or the new index has no graph to
    tune. Without `texts` both are asked pictures alone, and no model is needed. Raises Busy,
    ModelUnavailable.
    """
    if former.index.ef_search is None:
        return None
    recall = former.measure_graph(texts=texts).recall
    try:
        wanted = min(max(recall, MIN_TARGET_RECALL), MAX_TARGET_RECALL)
        tuned = new.tune(wanted, texts=texts)
    except QueryRejected:
        return None
    return tuned.ef_search or tuned.tried[-1].ef_search
