"""A tuned ef_search belongs to one graph: another one gets its own, for the same recall."""

from app.errors import QueryRejected
from app.index.recall import DEFAULT_K, MAX_TARGET_RECALL, MIN_TARGET_RECALL, Recall
from app.index.recall_results import RecallMeasurement
from app.index.tuning import Chooser, Tuning


def tuned_like(
    former: Recall, tuning: Tuning | None, new: Recall, *, texts: bool = True
) -> tuple[int, Tuning] | None:
    """The smallest ef_search with which `new` finds what the former's `tuning` wanted.

    The largest, if none does; None where the former was not tuned, or the new index has no graph to
    tune. Where it is not known what was wanted, that is what the former finds with its own. Without
    `texts` both are asked pictures alone, and no model is needed. Raises Busy, ModelUnavailable.
    """
    if former.index.ef_search is None:
        return None
    by: Chooser
    if tuning is None:
        by, k, wanted = "admin", DEFAULT_K, _worse(former.measure_graph(texts=texts))
    else:
        by, k, wanted = tuning.by, tuning.k, tuning.wanted
    try:
        bounded = min(max(wanted, MIN_TARGET_RECALL), MAX_TARGET_RECALL)
        result = new.tune(bounded, k, texts=texts)
    except QueryRejected:
        return None
    return result.ef_search or result.tried[-1].ef_search, Tuning.of(by, result)


def _worse(found: RecallMeasurement) -> float:
    """Of texts and pictures, the lower recall."""
    kinds = (found.text_recall, found.picture_recall)
    return min(recall for recall in kinds if recall is not None)
