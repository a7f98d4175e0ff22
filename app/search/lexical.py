"""The lexical leg: pictures whose name, caption or metadata hold the words of a query."""

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

PLAIN = "simple"  # the text search configuration that takes words as they are
INTO_ONE = 32  # ts_rank_cd's flag: r / (r + 1), so that ranks lie between 0 and 1

Matched = tuple[int, float]
"""The id of a picture, and how well it fits the words, 0 to 1."""


@dataclass(frozen=True)
class LexicalSearch:
    """Pictures of one collection that hold `words`, as websearch_to_tsquery reads them.

    Words count as they are and in the collection's language: `trees` finds `tree`.
    """

    session: Session
    collection: Collection
    words: str
    condition: Condition

    def window(self, start: int, stop: int) -> list[Matched]:
        """The pictures at the places from `start` up to before `stop`, the best first.

        Raises QueryRejected where Postgres cannot read the query.
        """
        rank = func.ts_rank_cd(images.c.words, self._asked, INTO_ONE, type_=Float)
        query = self._matching(select(images.c.id, rank.label("rank")))
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
        """Whether there is anything to look for: signs alone are no words."""
        return bool(self.session.execute(select(func.numnode(self._asked))).scalar_one())

    def count(self) -> int:
        """How many pictures hold the words."""
        query = self._matching(select(func.count()).select_from(images))
        return int(self.session.execute(query).scalar_one())

    @property
    def _asked(self) -> ColumnElement[object]:
        plain, own = (
            func.websearch_to_tsquery(cast(language, REGCONFIG), self.words)
            for language in (PLAIN, self.collection.language)
        )
        return plain.op("||")(own)

    def _matching(self, query: Select[Any]) -> Select[Any]:
        here = and_(images.c.collection_id == self.collection.id, PRESENT)
        query = query.where(here, images.c.words.bool_op("@@")(self._asked))
        return query if self.condition is None else query.where(self.condition)
