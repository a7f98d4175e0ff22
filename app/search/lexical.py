"""Lexical search: pictures whose name, caption or metadata contain the words of a query."""

from dataclasses import dataclass
from typing import Any

from psycopg.errors import ProgramLimitExceeded
from sqlalchemy import ColumnElement, Float, Select, and_, cast, func, select
from sqlalchemy.dialects.postgresql import REGCONFIG
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.database.tables import PRESENT, Collection, images
from app.errors import QueryRejected
from app.index.hnsw_search import Condition

SIMPLE = "simple"  # the text search configuration that does not stem
RANK_NORMALIZATION = 32  # flag of ts_rank_cd: scales a rank r to r / (r + 1), which is below 1

LexicalMatch = tuple[int, float]
"""A picture's id and its text search rank, 0 to 1."""


@dataclass(frozen=True)
class LexicalSearch:
    """Pictures of one collection that match `words`, parsed as by websearch_to_tsquery.

    Words match verbatim and stemmed in the collection's language: `trees` finds `tree`.
    """

    session: Session
    collection: Collection
    words: str
    condition: Condition

    def window(self, start: int, stop: int) -> list[LexicalMatch]:
        """Matches `start` (from 0) up to but excluding `stop`, best first.

        Raises QueryRejected if Postgres cannot parse the query.
        """
        rank = func.ts_rank_cd(images.c.words, self._tsquery, RANK_NORMALIZATION, type_=Float)
        query = self._where_matching(select(images.c.id, rank.label("rank")))
        query = query.order_by(rank.desc(), images.c.id).limit(stop - start).offset(start or None)
        try:
            return [(image_id, found) for image_id, found in self.session.execute(query)]
        except DBAPIError as error:
            if isinstance(error.orig, ProgramLimitExceeded) or "tsquery" in str(error.orig):
                raise QueryRejected(
                    f"query: it cannot be read as words ({error.orig}): leave out signs such as -."
                ) from error
            raise

    def has_words(self) -> bool:
        """Whether the query contains words at all, not just punctuation."""
        return bool(self.session.execute(select(func.numnode(self._tsquery))).scalar_one())

    def count(self) -> int:
        """The number of matching pictures."""
        query = self._where_matching(select(func.count()).select_from(images))
        return int(self.session.execute(query).scalar_one())

    @property
    def _tsquery(self) -> ColumnElement[object]:
        simple, stemmed = (
            func.websearch_to_tsquery(cast(language, REGCONFIG), self.words)
            for language in (SIMPLE, self.collection.language)
        )
        return simple.op("||")(stemmed)

    def _where_matching(self, query: Select[Any]) -> Select[Any]:
        present = and_(images.c.collection_id == self.collection.id, PRESENT)
        query = query.where(present, images.c.words.bool_op("@@")(self._tsquery))
        return query if self.condition is None else query.where(self.condition)
