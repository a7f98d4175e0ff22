"""How well a ranking answers a golden query.

Gains are 1 for a relevant picture and 0 for any other: pictures that nobody has judged count as
wrong. nDCG is that of `rocchio.ndcg`. Recall@k is, as in work on pictures and texts, whether a
right picture is among the first k (A. Karpathy and L. Fei-Fei, "Deep visual-semantic alignments for
generating image descriptions", 2015); its mean is the share of queries with one. The reciprocal
rank is that of the first right picture, and 0 below DEPTH (E. M. Voorhees, "The TREC-8 question
answering track report", 1999).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.feedback.rocchio import ndcg

DEPTH = 10  # hits of a query that are looked at


@dataclass(frozen=True)
class QueryScores:
    """The scores of one ranking, each 0 to 1; `judged` is the share of its hits that are judged."""

    ndcg_at_10: float
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mrr: float
    judged: float


METRICS = tuple(QueryScores.__dataclass_fields__)


def score(
    hits: Sequence[int], relevant: Collection[int], irrelevant: Collection[int] = ()
) -> QueryScores:
    """The scores of the first DEPTH `hits`, best first. At least one picture must be relevant."""
    shown = list(hits[:DEPTH])
    gains = [float(hit in relevant) for hit in shown]
    first = gains.index(1.0) + 1 if 1.0 in gains else None
    judged = sum(hit in relevant or hit in irrelevant for hit in shown)
    return QueryScores(
        ndcg_at_10=ndcg(gains, [1.0] * len(relevant), DEPTH),
        recall_at_1=float(first == 1),
        recall_at_5=float(first is not None and first <= 5),
        recall_at_10=float(first is not None),
        mrr=1 / first if first else 0.0,
        judged=judged / len(shown) if shown else 0.0,
    )
