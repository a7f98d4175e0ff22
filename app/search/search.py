"""Searches one collection: flat responses for the first API, full responses for the second."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy.orm import Session

from app.catalog.filters.filters import Filter, parse
from app.catalog.images import image_listing
from app.catalog.images.image_listing import Key, parse_order
from app.database.answer_cache import AnswerCache, Found
from app.database.connections import Sessions
from app.database.tables import Collection, VectorIndex
from app.encoders.sentences import SentenceModels
from app.errors import CursorRejected, QueryRejected
from app.feedback.query_adjustment import State
from app.index import embeddings
from app.index.hnsw_search import Neighbour
from app.index.nearest_search import NearestSearch
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.resident.resident_search import find_nearest_resident
from app.index.scan_settings import prepare
from app.index.statistics import Counts, IndexStatistics
from app.search.lexical import LexicalSearch
from app.search.queries.caption_encoding import check_captions, with_captions
from app.search.queries.query_encoding import Query, QueryEncoder, lexical_query
from app.search.ranking import Ranking
from app.search.response_building import ResponseBuilder
from app.search.search_request import Page, SearchRequest
from app.search.search_response import Hit, SearchResponse
from app.search.search_warnings import SearchWarning
from app.search.suggestions.filter_suggestions import FilterSuggestions, SuggestedFilter
from app.vectors import Vectors

Asked = TypeVar("Asked")

MAX_LIMIT = 100  # of the flat endpoints
DEFAULT_LIMIT = 10
ALL_LISTED = SearchWarning("few_filter_matches", "These are all that pass the filter.")
MAX_FACET_VALUES = 50
VECTOR_BYTES = 4_000  # approximate memory of a query vector


class FlatAnswerCache(AnswerCache[Sequence[Neighbour]]):
    """Caches the nearest pictures of recent queries."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(sessions, lambda hits: VECTOR_BYTES + sum(len(repr(hit)) for hit in hits))


@dataclass(frozen=True)
class Basis:
    """What an answer is based on: the state of feedback, and Postgres's snapshot from before it."""

    feedback: State
    snapshot: str

    def holds(self, now: "Basis") -> bool:
        """Whether a text that had an answer on this basis has the same one on the basis of now.

        False where feedback adjusts queries, since it may have changed before the snapshot.
        """
        return self == now and self.feedback != "on"


@dataclass(frozen=True)
class FlatAnswer:
    """A query and its nearest pictures, nearest first."""

    query: Query
    hits: Sequence[Neighbour]
    basis: Basis


@dataclass(frozen=True)
class Search:
    """Searches one index. The model is never called inside a transaction."""

    sessions: Sessions
    index: VectorIndex
    nearest: NearestSearch
    queries: QueryEncoder
    statistics: IndexStatistics
    answer_cache: FlatAnswerCache
    suggestions: FilterSuggestions
    resident_indexes: ResidentIndexes
    sentences: SentenceModels

    def by_text(self, text: str, limit: int) -> FlatAnswer:
        """The pictures most similar to the text. Raises QueryRejected."""
        return self._nearest(self.queries.encode_text, text, limit)

    def by_image(self, data: bytes, limit: int) -> FlatAnswer:
        """The pictures most similar to the one in the file `data`. Raises as `decoding.decode`."""
        return self._nearest(self.queries.encode_picture, data, limit)

    def current_basis(self) -> Basis:
        """The basis of an answer that would be looked up now."""
        feedback = self.queries.query_adjustment.state()
        return Basis(feedback, self.answer_cache.snapshot())

    def _nearest(self, encode: Callable[[Asked], Query], asked: Asked, limit: int) -> FlatAnswer:
        feedback = self.queries.query_adjustment.state()
        query = encode(asked)

        def nearest() -> Found[Sequence[Neighbour]]:
            resident = self.resident_indexes.of(self.index)
            if resident is not None:
                found = find_nearest_resident(self.sessions, resident, query.vector, limit)
                if found is not None:
                    return found
            return self.nearest.find(query.vector, limit)

        cache_key = (self.index, query.vector.tobytes(), limit)
        found = self.answer_cache.answer(cache_key, nearest)
        return FlatAnswer(query, found.answer, Basis(feedback, found.snapshot))

    def answer(self, collection: Collection, request: SearchRequest) -> SearchResponse:
        """The first page of results.

        Raises QueryRejected, FilterRejected, and as `QueryEncoder.encode`.
        """
        began = time.perf_counter()
        query = self.prepare(collection, request)
        if request.needs_model:
            query = self.queries.encode(request.terms)
        return self.first_page(collection, request, query, _ms_since(began))

    def prepare(self, collection: Collection, request: SearchRequest) -> Query | None:
        """The query if it is of words alone; None if there is none, or the model has to encode it.

        Raises QueryRejected, FilterRejected: before the model is called.
        """
        request.check()
        parse(request.filter, collection.filterable)
        if request.order_by is not None:
            parse_order(request.order_by, collection.filterable)
        is_of_words = request.terms and not request.needs_model
        return lexical_query(request.terms) if is_of_words else None

    def first_page(
        self, collection: Collection, request: SearchRequest, query: Query | None, encode_ms: float
    ) -> SearchResponse:
        """The first page of results of an encoded query.

        Raises FilterRejected, and as `with_captions`.
        """
        began = time.perf_counter()
        if query is not None:
            query = with_captions(self.sentences, collection, request, query)
        encode_ms += _ms_since(began)
        answer = self.page(collection, Page.first(request, self.index.id, query))
        return replace(
            answer, encode_ms=encode_ms, suggested_filters=self._suggested(collection, request)
        )

    def _suggested(
        self, collection: Collection, request: SearchRequest
    ) -> Sequence[SuggestedFilter]:
        """Of a query with one text that is searched for."""
        texts = [one.text for one in request.terms if one.text is not None and one.weight > 0]
        return self.suggestions.suggest(collection, texts[0]) if len(texts) == 1 else ()

    def vectors(self, image_ids: Sequence[int]) -> dict[int, Vectors]:
        """The embeddings, float32 (dimensions,), of those of the pictures that have one."""
        with self.sessions.begin() as session:
            return embeddings.get_vectors(session, self.index, image_ids)

    def page(self, collection: Collection, page: Page) -> SearchResponse:
        """One page of results. Raises FilterRejected, CursorRejected."""
        if page.index_id != self.index.id:
            raise CursorRejected(
                "cursor: the collection was made or indexed anew. Ask for the first page again."
            )
        check_captions(collection, page)
        where = parse(page.request.filter, collection.filterable)
        began = time.perf_counter()
        counts = self.statistics.counts()  # takes its own connection: no thread may hold two
        null = (
            self.statistics.null_distribution()
            if page.query and page.request.mode != "lexical"
            else None
        )
        with self.sessions.begin() as session:
            if page.query is None or page.request.mode != "vector":
                prepare(session)  # a vector search does so itself
            if page.query is not None and page.request.mode == "auto":
                page = self._resolve(session, collection, page, page.query, where)
            if page.query is None:
                answer = self._list(session, collection, page, where, counts)
            else:
                ranking = self._ranking(session, collection, page, page.query, where)
                builder = ResponseBuilder(
                    session, collection, ranking, counts, null, page, page.query, where
                )
                answer = builder.build()
            facets = self._facets(session, collection, page.request, where)
        return replace(
            answer,
            query=page.query,
            feedback=self.queries.query_adjustment.state(),
            facets=facets,
            database_ms=_ms_since(began),
        )

    def _ranking(
        self, session: Session, collection: Collection, page: Page, query: Query, where: Filter
    ) -> Ranking:
        resident = self.resident_indexes.of(self.index)
        return Ranking(
            session, collection, self.index, page.request, query, where, page.scan, resident
        )

    def _resolve(
        self, session: Session, collection: Collection, page: Page, query: Query, where: Filter
    ) -> Page:
        """The first page of a request whose mode is auto, in the mode that it stands for."""
        words = LexicalSearch(
            session, collection, query.words, where.condition if page.request.filter else None
        )
        try:
            with session.begin_nested():
                has_matches = page.request.may_put_words_first and words.has_matches()
        except QueryRejected:  # not parseable as words: the model can still read it
            has_matches = False
        return replace(page, request=page.request.resolved(has_matches))

    def _list(
        self, session: Session, collection: Collection, page: Page, where: Filter, counts: Counts
    ) -> SearchResponse:
        request = page.request
        order = parse_order(
            "id" if request.order_by is None else request.order_by, collection.filterable
        )
        limit = request.limit
        found = image_listing.browse(session, collection.id, where, order, page.after, limit + 1)
        shown = found[:limit]
        return SearchResponse(
            [Hit(one.image) for one in shown],
            "listing",
            counts,
            0.0,
            0.0,
            total=image_listing.count(session, collection.id, where),
            warnings=(ALL_LISTED,) if len(shown) < limit else (),
            explained={"method": "listing"} if request.explain else None,
            following=page.next(after=shown[-1].position) if len(found) > limit else None,
        )

    def _facets(
        self, session: Session, collection: Collection, request: SearchRequest, where: Filter
    ) -> dict[str, Sequence[tuple[Key, int]]] | None:
        if not request.facets:
            return None
        return {
            name: image_listing.facets(
                session, collection.id, where, name, collection.filterable, MAX_FACET_VALUES
            )
            for name in request.facets
        }


def _ms_since(began: float) -> float:
    """Milliseconds since `began`, a value of time.perf_counter."""
    return (time.perf_counter() - began) * 1000
