"""What a measurement of recall, and a tuning by it, tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.index.scan_plans import Method

Kind = Literal["texts", "pictures"]
"""Of queries."""


@dataclass(frozen=True)
class RecallMeasurement:
    """Recall@k, 0 to 1: of all `queries`, and of the texts and the pictures among them.

    `text_recall` is None where no text was asked, `picture_recall` where the index has no picture.
    `worst_decile` is the mean of the worst tenth. `unreachable` is the number of vectors that a
    walk through the whole graph never comes to, None where that takes too long.
    `method` is how the queries were answered; `ef_search` is None where not by the graph. `graph`:
    there is one that answers where codes do not. `p50_ms` and `p95_ms` are milliseconds that one
    answer took.
    """

    k: int
    recall: float
    text_recall: float | None
    picture_recall: float | None
    worst_decile: float
    unreachable: int | None
    queries: int
    texts: int
    pictures: int
    method: Method
    ef_search: int | None
    p50_ms: float
    p95_ms: float
    vectors: int
    graph: bool


@dataclass(frozen=True)
class EfSearchTrial:
    """Recall@k with an `ef_search`, of the kind of queries that it is `worse` for.

    Held out is measured only where the other half holds.
    """

    ef_search: int
    recall: float
    worse: Kind
    held_out: float | None
    p50_ms: float


@dataclass(frozen=True)
class TuningResult:
    """The smallest `ef_search` that reaches `wanted`, on `queries` and on as many held out.

    Without one that does, it is None, `reached` is false, and the rest is the largest's.
    """

    k: int
    wanted: float
    reached: bool
    ef_search: int | None
    recall: float
    held_out: float | None
    queries: int
    held_out_queries: int
    vectors: int
    tried: Sequence[EfSearchTrial]
