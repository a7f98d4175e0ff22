"""What an evaluation found, from the hits of each system to a comparison with the baseline."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.database.tables import VectorIndex
from app.feedback.golden.golden_rows import GoldenQuery
from app.feedback.golden.paired_comparison import Comparison, Interval, compare, interval
from app.feedback.golden.retrieval_metrics import METRICS, QueryScores, score
from app.vectors import VectorSpace

MAX_SHOWN = 50  # queries of each outcome that a result lists, largest differences first


@dataclass(frozen=True)
class Costs:
    """What a system takes: bytes of all its vectors, and milliseconds.

    `bytes` has the graph in it where there is one. `encode_ms` is the median for one text,
    `search_ms` that of one search, None where none was made in an index, and `picture_ms` the mean
    for one picture, reading it included, None where none was embedded.
    """

    vectors: int
    bytes: int
    encode_ms: float | None
    search_ms: float | None
    search_p95_ms: float | None
    picture_ms: float | None


@dataclass(frozen=True)
class System:
    """What was evaluated: a generation, or a model that has none (then `index` is None)."""

    space: VectorSpace
    index: VectorIndex | None


@dataclass(frozen=True)
class Run:
    """A system's hits for each query, best first, by the query's id; no entry: it has no vector."""

    system: System
    hits: dict[int, Sequence[int]]
    costs: Costs


@dataclass(frozen=True)
class Sample:
    """The pictures that all systems ranked, where they did not rank the whole collection.

    Those that golden queries name, and random others; `unreadable` ones were left out.
    """

    pictures: int
    named: int
    random: int
    unreadable: int


@dataclass(frozen=True)
class Evaluation:
    """The runs of the same queries; the first is the baseline."""

    queries: Sequence[GoldenQuery]
    runs: Sequence[Run]
    sample: Sample | None

    def to_json(self) -> dict[str, Any]:
        """As stored. Queries that a system has no vector for are left out of all.

        Raises ValueError if that leaves none.
        """
        answered = [query for query in self.queries if all(query.id in r.hits for r in self.runs)]
        if not answered:
            raise ValueError("no query is left")
        scores = [_scores(run, answered) for run in self.runs]
        return {
            "queries": len(answered),
            "left_out": len(self.queries) - len(answered),
            "sample": None if self.sample is None else asdict(self.sample),
            "systems": [_system(*one) for one in zip(self.runs, scores, strict=True)],
            "comparisons": [
                self._compared(answered, scores, place) for place in range(1, len(self.runs))
            ],
        }

    def _compared(
        self, answered: Sequence[GoldenQuery], scores: Sequence[list[QueryScores]], place: int
    ) -> dict[str, Any]:
        ours, theirs = (np.array([one.ndcg_at_10 for one in scores[n]]) for n in (place, 0))
        told = compare(theirs, ours)
        outcomes = [
            {
                "golden_query_id": query.id,
                "text": query.text,
                "image_id": query.image_id,
                "ndcg": float(mine),
                "baseline_ndcg": float(base),
                "hits": list(self.runs[place].hits[query.id]),
                "baseline_hits": list(self.runs[0].hits[query.id]),
            }
            for query, mine, base in zip(answered, ours, theirs, strict=True)
        ]
        return {"system": place, **_told(told), **_shown(outcomes)}


def _scores(run: Run, queries: Sequence[GoldenQuery]) -> list[QueryScores]:
    return [score(run.hits[one.id], {*one.relevant}, {*one.irrelevant}) for one in queries]


def _system(run: Run, scores: Sequence[QueryScores]) -> dict[str, Any]:
    index = run.system.index
    intervals: dict[str, Interval] = {
        name: interval(np.array([getattr(one, name) for one in scores])) for name in METRICS
    }
    return {
        "generation": None if index is None else index.id,
        "storage": None if index is None else index.storage,
        **asdict(run.system.space),
        **{name: asdict(one) for name, one in intervals.items()},
        **asdict(run.costs),
    }


def _told(told: Comparison) -> dict[str, Any]:
    return {**asdict(told), "verdict": told.verdict, "sentence": told.sentence}


def _shown(outcomes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The queries won, lost and tied, those with the largest differences first."""
    found: dict[str, list[dict[str, Any]]] = {"won": [], "lost": [], "tied": []}
    for one in sorted(outcomes, key=lambda one: -abs(one["ndcg"] - one["baseline_ndcg"])):
        difference = round(one["ndcg"] - one["baseline_ndcg"], 9)
        found["won" if difference > 0 else "lost" if difference < 0 else "tied"].append(one)
    return {f"{name}_queries": some[:MAX_SHOWN] for name, some in found.items()}
