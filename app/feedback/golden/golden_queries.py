"""The golden queries of collections, as routes and commands ask for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.database.connections import Sessions
from app.database.locks import retry_on_lock
from app.feedback.golden import golden_rows
from app.feedback.golden.golden_rows import GoldenQuery
from app.feedback.golden.judged_queries import Judged
from app.feedback.golden.proposals import Source, propose

PAGE = 500  # queries read in one transaction


@dataclass(frozen=True)
class GoldenQueries:
    """Reads and writes golden queries, each call in transactions of its own."""

    sessions: Sessions

    def add(self, collection_id: int, judged: Judged) -> tuple[GoldenQuery, bool]:
        """Add a query, or judgements to the same query, and whether it is new.

        Raises GoldenQueryRejected.
        """

        def write(session: Session) -> tuple[GoldenQuery, bool]:
            query_id, is_new = golden_rows.add(session, collection_id, judged)
            return golden_rows.get(session, collection_id, query_id), is_new

        return retry_on_lock(self.sessions, write)

    def add_many(self, collection_id: int, queries: Sequence[Judged]) -> int:
        """Add queries or judgements to the same ones, all or none; returns how many are new.

        Raises GoldenQueryRejected.
        """

        def write(session: Session) -> int:
            return sum(golden_rows.add(session, collection_id, one)[1] for one in queries)

        return retry_on_lock(self.sessions, write)

    def proposed(self, collection_id: int, source: Source, limit: int) -> list[Judged]:
        """At most `limit` queries made from ratings, captions or tags; nothing is stored."""
        with self.sessions.begin() as session:
            return propose(session, collection_id, source, limit)

    def get(self, collection_id: int, query_id: int) -> GoldenQuery:
        """One query. Raises GoldenQueryNotFound."""
        with self.sessions.begin() as session:
            return golden_rows.get(session, collection_id, query_id)

    def page(self, collection_id: int, after: int, limit: int) -> list[GoldenQuery]:
        """Queries in order of id, from above `after` on."""
        with self.sessions.begin() as session:
            return golden_rows.page(session, collection_id, after, limit)

    def every(self, collection_id: int) -> Iterator[GoldenQuery]:
        """All queries in order of id."""
        after = 0
        while found := self.page(collection_id, after, PAGE):
            yield from found
            after = found[-1].id

    def replace(
        self,
        collection_id: int,
        query_id: int,
        relevant: Sequence[int],
        irrelevant: Sequence[int],
    ) -> GoldenQuery:
        """Put these judgements in the place of a query's.

        Raises GoldenQueryNotFound, GoldenQueryRejected.
        """
        with self.sessions.begin() as session:
            return golden_rows.replace_judgements(
                session, collection_id, query_id, relevant, irrelevant
            )

    def remove(self, collection_id: int, query_id: int) -> None:
        """Delete a query with its judgements. Raises GoldenQueryNotFound."""
        with self.sessions.begin() as session:
            golden_rows.remove(session, collection_id, query_id)
