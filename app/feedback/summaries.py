"""What people say of the answers, summed up for whoever runs the service, and handed out whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.database.connections import Sessions
from app.feedback import ratings
from app.feedback.evaluation import Verdict
from app.feedback.ratings import Exported, OfDay, OfModel, OfQuery, Scope
from app.index.hnsw_search import prepare

PAGE = 1_000  # judgements read at a time


@dataclass(frozen=True)
class Summary:
    """Ratings by model, day and query; and the last trial of each collection, None: not yet."""

    by_model: Sequence[OfModel]
    by_day: Sequence[OfDay]
    worst_queries: Sequence[OfQuery]
    without_good: Sequence[OfQuery]
    trials: Sequence[tuple[str, Verdict | None]]


@dataclass(frozen=True)
class Summaries:
    """Reads judgements of all collections."""

    sessions: Sessions

    def summary(self, scope: Scope) -> Summary:
        """What is meant by the scope, summed up; each statement is bounded in time."""
        with self.sessions.begin() as session:
            prepare(session)
            return Summary(
                ratings.by_model(session, scope),
                ratings.by_day(session, scope),
                ratings.worst_queries(session, scope),
                ratings.queries_without_good(session, scope),
                [(name, Verdict.known(kept)) for name, kept in ratings.verdicts(session, scope)],
            )

    def export(self, scope: Scope) -> Iterator[Exported]:
        """All judgements that are meant, oldest first, read some at a time, the first ones now."""
        return self._pages(scope, self._page(scope, 0))

    def _pages(self, scope: Scope, page: Sequence[Exported]) -> Iterator[Exported]:
        while page:
            yield from page
            page = self._page(scope, page[-1].id)

    def _page(self, scope: Scope, after: int) -> Sequence[Exported]:
        with self.sessions.begin() as session:
            return ratings.exported(session, scope, after, PAGE)
