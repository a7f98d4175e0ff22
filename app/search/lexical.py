"""Lexical search: the words of a query in name, caption, metadata, and in the picture itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.errors import ProgramLimitExceeded
from sqlalchemy import ColumnElement, Float, Result, Select, Text, and_, cast, func, select
from sqlalchemy.dialects.postgresql import REGCONFIG, TSQUERY
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.database.annotation_tables import image_texts
from app.database.tables import PRESENT, Collection, images
from app.errors import QueryRejected
from app.index.hnsw_search import Condition, any_of
from app.search.word_splitting import numbers_apart, spaced
from app.understanding.texts.text_lines import TextLine

SIMPLE = "simple"  # the text search configuration that does not stem
RANK_NORMALIZATION = 32  # flag of ts_rank_cd: scales a rank r to r / (r + 1), which is below 1
MATCHES_EVERYTHING = "T"  # of querytree(): the query only excludes words

READ = "text"  # the annotator that reads lines in pictures
MAX_FOUND_LINES = 20  # of a picture, that an answer shows
FOUND_COLUMNS = (
    image_texts.c.image_id,
    image_texts.c.text,
    image_texts.c.box,
    image_texts.c.confidence,
)

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
        return [(image_id, found) for image_id, found in self._parsed(query)]

    def _parsed(self, query: Select[Any]) -> Result[Any]:
        try:
            return self.session.execute(query)
        except DBAPIError as error:
            if isinstance(error.orig, ProgramLimitExceeded) or "tsquery" in str(error.orig):
                raise QueryRejected(
                    f"query: it cannot be read as words ({error.orig}): leave out signs such as -."
                ) from error
            raise

    def has_words(self) -> bool:
        """Whether the query contains words at all, not just punctuation."""
        return bool(self.session.execute(select(func.numnode(self._tsquery))).scalar_one())

    def has_matches(self) -> bool:
        """Whether any picture matches a word other than stop words and excluded words.

        Raises QueryRejected if Postgres cannot parse the query.
        """
        _, stemmed = self._tsqueries
        has_required_words = func.querytree(stemmed).not_in(("", MATCHES_EVERYTHING))
        # Materialised, so that the planner uses the index of words for one that is rare in fact.
        matching = self._where_matching(select(images.c.id)).cte().prefix_with("MATERIALIZED")
        query = select(and_(has_required_words, select(matching).exists()))
        return bool(self._parsed(query).scalar_one())

    def count(self) -> int:
        """The number of matching pictures."""
        query = self._where_matching(select(func.count()).select_from(images))
        return int(self.session.execute(query).scalar_one())

    def found_lines(self, image_ids: Sequence[int]) -> dict[int, list[TextLine]]:
        """The lines read in pictures that hold a word or phrase of the query, by picture.

        At most MAX_FOUND_LINES each, in reading order.
        """
        wanted = func.replace(func.querytree(self._tsquery), " & ", " | ", type_=Text)
        words = func.found_words(self.collection.language, image_texts.c.text)
        number = func.row_number().over(
            partition_by=image_texts.c.image_id, order_by=image_texts.c.number
        )
        query = select(*FOUND_COLUMNS, number.label("place")).where(
            image_texts.c.image_id == any_of(image_ids),
            image_texts.c.annotator == READ,
            words.bool_op("@@")(cast(wanted, TSQUERY)),
        )
        lines = query.subquery()
        first = select(lines).where(lines.c.place <= MAX_FOUND_LINES)
        found: dict[int, list[TextLine]] = {}
        for row in self._parsed(first.order_by(lines.c.image_id, lines.c.place)):
            line = TextLine(row.text, tuple(row.box), row.confidence)
            found.setdefault(row.image_id, []).append(line)
        return found

    @property
    def match(self) -> ColumnElement[bool]:
        """Whether a picture matches, as a condition on `images`."""
        return images.c.words.bool_op("@@")(self._tsquery)

    @property
    def _tsqueries(self) -> tuple[ColumnElement[object], ColumnElement[object]]:
        """Verbatim, and stemmed without stop words."""
        return self._in_language(SIMPLE), self._in_language(self.collection.language)

    def _in_language(self, language: str) -> ColumnElement[object]:
        words = spaced(self.words)
        config = cast(language, REGCONFIG)
        query: ColumnElement[object] = func.websearch_to_tsquery(config, words)
        if (split := numbers_apart(words)) == words:
            return query
        return query.op("||")(func.websearch_to_tsquery(config, split))

    @property
    def _tsquery(self) -> ColumnElement[object]:
        simple, stemmed = self._tsqueries
        return simple.op("||")(stemmed)

    def _where_matching(self, query: Select[Any]) -> Select[Any]:
        present = and_(images.c.collection_id == self.collection.id, PRESENT)
        query = query.where(present, self.match)
        return query if self.condition is None else query.where(self.condition)
