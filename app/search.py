"""Searching one collection: the flat endpoints' short answer, and the whole one with its truth."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app import browsing
from app.answers import Answer, Answering, Hit
from app.browsing import Key, parse_order
from app.census import Census
from app.db import Sessions
from app.encoders.resident import Resident
from app.filters import Filter, parse
from app.nearest import Neighbour, find_nearest
from app.pictures import decode
from app.queries import Query, QueryEncoder, check_text
from app.questions import Page, Question
from app.tables import Collection, VectorIndex
from app.vectors import Vectors

MAX_LIMIT = 100  # of the flat endpoints
DEFAULT_LIMIT = 10
FACET_VALUES = 50


@dataclass(frozen=True)
class Search:
    """Answers from one index. The model is never called inside a transaction."""

    sessions: Sessions
    encoder: Resident
    index: VectorIndex
    queries: QueryEncoder
    census: Census
    max_megapixels: float

    def by_text(self, query: str, limit: int) -> list[Neighbour]:
        """The pictures that fit the words best. Raises QueryRejected."""
        check_text(query)
        return self._nearest(self.encoder.encode_texts([query])[0], limit)

    def by_image(self, data: bytes, limit: int) -> list[Neighbour]:
        """The pictures most like the one in the file `data`. Raises as `pictures.decode`."""
        picture = decode(data, self.max_megapixels)
        return self._nearest(self.encoder.encode_images([picture.image])[0], limit)

    def _nearest(self, vector: Vectors, limit: int) -> list[Neighbour]:
        with self.sessions.begin() as session:
            return find_nearest(session, self.index, vector, limit)

    def answer(self, collection: Collection, question: Question) -> Answer:
        """The first page of an answer.

        Raises QueryRejected, FilterRejected, and as `QueryEncoder.encode`.
        """
        question.check()
        began = time.perf_counter()
        query = self.queries.encode(question.terms) if question.terms else None
        encode_ms = _ms_since(began)
        answer = self.page(collection, Page.first(question, query))
        return replace(answer, encode_ms=encode_ms)

    def page(self, collection: Collection, page: Page) -> Answer:
        """A page of an answer. Raises FilterRejected, CursorRejected."""
        where = parse(page.question.filter, collection.fields)
        began = time.perf_counter()
        with self.sessions.begin() as session:
            if page.query is None:
                answer = self._listed(session, collection, page, where)
            else:
                answer = self._ranked(session, collection, page, page.query, where)
            facets = self._facets(session, collection, page.question, where)
        return replace(answer, facets=facets, database_ms=_ms_since(began))

    def _ranked(
        self, session: Session, collection: Collection, page: Page, query: Query, where: Filter
    ) -> Answer:
        return Answering(session, collection, self.index, self.census, page, query, where).answer()

    def _listed(
        self, session: Session, collection: Collection, page: Page, where: Filter
    ) -> Answer:
        question = page.question
        order = parse_order(question.order_by or "id", collection.fields)
        limit = question.limit
        found = browsing.browse(session, collection.id, where, order, page.after, limit + 1)
        shown = found[:limit]
        return Answer(
            [Hit(one.image) for one in shown],
            "listing",
            self.census.counts(),
            0.0,
            0.0,
            total=browsing.count(session, collection.id, where),
            underfilled="These are all that pass the filter." if len(shown) < limit else None,
            following=page.then(after=shown[-1].position) if len(found) > limit else None,
        )

    def _facets(
        self, session: Session, collection: Collection, question: Question, where: Filter
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
