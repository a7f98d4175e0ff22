"""Summaries and exports of feedback for those who operate the service."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.database.connections import Sessions
from app.feedback import ratings
from app.feedback.evaluation import EvaluationResult
from app.feedback.ratings import DayRatings, ExportedJudgement, ModelRatings, QueryRatings, Scope
from app.feedback.swap_ratings import SwapRatings, last_swaps
from app.index.scan_settings import prepare

EXPORT_BATCH = 1_000  # judgements read at a time


@dataclass(frozen=True)
class Summary:
    """Ratings by model, day and query; the last evaluation of each collection, None before it.

    `swaps`: ratings before and after the last change of each collection's vectors.
    """

    by_model: Sequence[ModelRatings]
    by_day: Sequence[DayRatings]
    worst_queries: Sequence[QueryRatings]
    without_good: Sequence[QueryRatings]
    trials: Sequence[tuple[str, EvaluationResult | None]]
    swaps: Sequence[SwapRatings]


@dataclass(frozen=True)
class Summaries:
    """Reads the judgements of all collections."""

    sessions: Sessions

    def summary(self, scope: Scope) -> Summary:
        """Summarise the judgements in the scope; each statement has a timeout."""
        with self.sessions.begin() as session:
            prepare(session)
            return Summary(
                ratings.by_model(session, scope),
                ratings.by_day(session, scope),
                ratings.worst_queries(session, scope),
                ratings.queries_without_relevant(session, scope),
                [
                    (name, EvaluationResult.from_json(stored))
                    for name, stored in ratings.evaluation_results(session, scope)
                ],
                last_swaps(session, scope),
            )

    def export(self, scope: Scope) -> Iterator[ExportedJudgement]:
        """All judgements in the scope, oldest first, in batches; the first is read immediately."""
        return self._pages(scope, self._page(scope, 0))

    def _pages(
        self, scope: Scope, page: Sequence[ExportedJudgement]
    ) -> Iterator[ExportedJudgement]:
        while page:
            yield from page
            page = self._page(scope, page[-1].id)

    def _page(self, scope: Scope, after: int) -> Sequence[ExportedJudgement]:
        with self.sessions.begin() as session:
            return ratings.export(session, scope, after, EXPORT_BATCH)
