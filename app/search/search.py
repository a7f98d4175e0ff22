"""Searching one collection: the flat endpoints' short answer, and the whole one with its truth."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.catalog import browsing
from app.catalog.browsing import Key, parse_order
from app.catalog.filters import Filter, parse
from app.database.answer_cache import AnswerCache
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.errors import CursorRejected
from app.index.hnsw_search import Neighbour, find_nearest, prepare
from app.index.statistics import Counts, IndexStatistics
from app.search.query_encoding import Query, QueryEncoder, words_alone
from app.search.search_request import Page, SearchRequest
from app.search.search_response import Hit, ResponseBuilder, SearchResponse

MAX_LIMIT = 100  # of the flat endpoints
DEFAULT_LIMIT = 10
FACET_VALUES = 50
QUESTION = 4_000  # about the bytes of a query's vector


class FlatAnswerCache(AnswerCache[Sequence[Neighbour]]):
    """The pictures nearest to the queries that were asked last."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions, lambda hits: QUESTION + sum(len(repr(hit)) for hit in hits))


@dataclass(frozen=True)
class FlatAnswer:
    """The pictures nearest to a query, nearest first."""

    query: Query
    hits: Sequence[Neighbour]


@dataclass(frozen=True)
class Search:
    """Answers from one index. The model is never called inside a transaction."""

    sessions: Sessions
    index: VectorIndex
    queries: QueryEncoder
    statistics: IndexStatistics
    answer_cache: FlatAnswerCache

    def by_text(self, text: str, limit: int) -> FlatAnswer:
        """The pictures that fit the words best. Raises QueryRejected."""
        return self._nearest(self.queries.encode_text(text), limit)

    def by_image(self, data: bytes, limit: int) -> FlatAnswer:
        """The pictures most like the one in the file `data`. Raises as `pictures.decode`."""
        return self._nearest(self.queries.encode_picture(data), limit)

    def _nearest(self, query: Query, limit: int) -> FlatAnswer:
        def ask() -> Sequence[Neighbour]:
            with self.sessions.begin() as session:
                return find_nearest(session, self.index, query.vector, limit)

        question = (self.index, query.vector.tobytes(), limit)
        return FlatAnswer(query, self.answer_cache.answer(question, ask))

    def answer(self, collection: Collection, question: SearchRequest) -> SearchResponse:
        """The first page of an answer.

        Raises QueryRejected, FilterRejected, and as `QueryEncoder.encode`.
        """
        question.check()
        parse(question.filter, collection.fields)  # what is wrong is said before the model is asked
        if question.order_by is not None:
            parse_order(question.order_by, collection.fields)
        began = time.perf_counter()
        query = self._query(question)
        encode_ms = _ms_since(began)
        answer = self.page(collection, Page.first(question, self.index.id, query))
        return replace(answer, encode_ms=encode_ms)

    def _query(self, question: SearchRequest) -> Query | None:
        if not question.terms:
            return None
        if question.mode == "lexical":
            return words_alone(question.terms)
        return self.queries.encode(question.terms)

    def page(self, collection: Collection, page: Page) -> SearchResponse:
        """A page of an answer. Raises FilterRejected, CursorRejected."""
        if page.index_id != self.index.id:
            raise CursorRejected(
                "cursor: the collection was made or indexed anew. Ask for the first page again."
            )
        where = parse(page.question.filter, collection.fields)
        began = time.perf_counter()
        counts = self.statistics.counts()  # with a connection of its own: nobody may hold two
        null = (
            self.statistics.null_distribution()
            if page.query and page.question.mode != "lexical"
            else None
        )
        with self.sessions.begin() as session:
            if page.query is None or page.question.mode != "vector":  # that one prepares itself
                prepare(session)
            if page.query is None:
                answer = self._listed(session, collection, page, where, counts)
            else:
                answering = ResponseBuilder(
                    session, collection, self.index, counts, null, page, page.query, where
                )
                answer = answering.answer()
            facets = self._facets(session, collection, page.question, where)
        return replace(
            answer,
            query=page.query,
            feedback=self.queries.query_adjustment.state(),
            facets=facets,
            database_ms=_ms_since(began),
        )

    def _listed(
        self, session: Session, collection: Collection, page: Page, where: Filter, counts: Counts
    ) -> SearchResponse:
        question = page.question
        order = parse_order(
            "id" if question.order_by is None else question.order_by, collection.fields
        )
        limit = question.limit
        found = browsing.browse(session, collection.id, where, order, page.after, limit + 1)
        shown = found[:limit]
        return SearchResponse(
            [Hit(one.image) for one in shown],
            "listing",
            counts,
            0.0,
            0.0,
            total=browsing.count(session, collection.id, where),
            underfilled="These are all that pass the filter." if len(shown) < limit else None,
            explained={"method": "listing"} if question.explain else None,
            following=page.then(after=shown[-1].position) if len(found) > limit else None,
        )

    def _facets(
        self, session: Session, collection: Collection, question: SearchRequest, where: Filter
    ) -> dict[str, Sequence[tuple[Key, int]]] | None:
        if not question.facets:
            return None
        return {
            name: browsing.facets(
                session, collection.id, where, name, collection.fields, FACET_VALUES
            )
            for name in question.facets
        }


def _ms_since(began: float) -> float:
    """Milliseconds since a moment of time.perf_counter."""
    return (time.perf_counter() - began) * 1000
