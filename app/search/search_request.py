"""What is asked of a collection, and where in its answer a page begins."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.catalog.browsing import Position as Place
from app.errors import QueryRejected
from app.index.paged_scans import Scan
from app.search.query_encoding import Query, Term
from app.search.reciprocal_rank_fusion import Fusion

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 10
MAX_FACETS = 10
MAX_FILTER_CHARACTERS = 100_000  # as JSON in ASCII: a cursor holds it

DEFAULT_FUSION = Fusion()

Mode = Literal["vector", "lexical", "hybrid"]


@dataclass(frozen=True)
class SearchRequest:
    """What is asked of a collection; without `terms`, a listing of what passes the filter.

    The picture `without` is left out of a ranking by vectors: it is what was searched with.
    """

    namespace: str
    collection: str
    terms: tuple[Term, ...] = ()
    mode: Mode = "vector"
    limit: int = DEFAULT_LIMIT
    filter: Mapping[str, Any] = field(default_factory=dict)
    fusion: Fusion = DEFAULT_FUSION
    min_score: float | None = None
    order_by: str | None = None
    group_by: Literal["duplicates"] | None = None
    exact: bool = False
    facets: tuple[str, ...] = ()
    explain: bool = False
    without: int | None = None

    def check(self) -> None:
        """Raise QueryRejected where its parts do not fit together."""
        if not 1 <= self.limit <= MAX_LIMIT:
            raise QueryRejected(f"limit: {self.limit}; 1 to {MAX_LIMIT} are allowed.")
        if len(self.facets) > MAX_FACETS:
            raise QueryRejected(f"facets: {len(self.facets)} fields; {MAX_FACETS} are allowed.")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise QueryRejected("min_score: send a finite number.")
        if len(json.dumps(self.filter)) > MAX_FILTER_CHARACTERS:
            raise QueryRejected(f"filter: more than {MAX_FILTER_CHARACTERS:,} characters of JSON.")
        if self.terms and self.mode != "vector" and not self.has_words:
            raise QueryRejected(f"mode: {self.mode} needs a text of positive weight.")
        if self.mode == "lexical":
            self._check_words()
        if not self.terms:
            self._check_listing()

    @property
    def has_words(self) -> bool:
        """Whether the lexical leg has something to look for."""
        return any(term.text is not None and term.weight > 0 for term in self.terms)

    @property
    def is_of_words(self) -> bool:
        """Whether vectors have no part in the order."""
        return self.mode == "lexical" or (self.mode == "hybrid" and self.fusion.alpha == 0)

    def _check_words(self) -> None:
        for place, term in enumerate(self.terms):
            if term.text is None or term.weight < 0:
                raise QueryRejected(
                    f"query[{place}]: the mode lexical looks for words alone; for what is not to "
                    "be there, write -word into a text."
                )

    def _check_listing(self) -> None:
        plain = SearchRequest(self.namespace, self.collection)
        for name in ("mode", "min_score", "group_by", "exact"):
            if getattr(self, name) != getattr(plain, name):
                raise QueryRejected(f"{name}: there is no query that it could be about.")

    @property
    def digest(self) -> str:
        """The same for the same question, whatever page of its answer is meant."""
        terms = [term.told_apart_by for term in self.terms]
        told = json.dumps([terms, self.as_json()], sort_keys=True)
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:32]

    def as_json(self) -> dict[str, Any]:
        """All but the terms, as a cursor keeps it; `explain` and facets are the first page's."""
        left_out = {"terms", "fusion", "explain", "facets"}
        kept = {name: value for name, value in vars(self).items() if name not in left_out}
        return {**kept, "alpha": self.fusion.alpha, "rrf_k": self.fusion.k}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> "SearchRequest":
        """What `as_json` gave."""
        rest = {name: value for name, value in kept.items() if name not in {"alpha", "rrf_k"}}
        return cls(**rest, fusion=Fusion(kept["alpha"], kept["rrf_k"]))


@dataclass(frozen=True, eq=False)
class Page:
    """Where a page begins: after so many places of a ranking, or after a place of a listing.

    `digest` is that of the question with its terms, which `query` stands for here; `index_id` says
    which generation of vectors the places are of.
    """

    question: SearchRequest
    digest: str
    index_id: int
    query: Query | None = None
    scan: Scan | None = None
    offset: int = 0
    after: Place | None = None
    no_match: bool | None = None

    @classmethod
    def first(cls, question: SearchRequest, index_id: int, query: Query | None) -> "Page":
        """The first page of an answer."""
        return cls(question, question.digest, index_id, query)

    def then(self, **changes: Any) -> "Page":
        """The page after it; what was made for the first alone is left out."""
        question = replace(self.question, terms=(), explain=False, facets=())
        query = replace(self.query, parts=(), pulls=()) if self.query else None
        return replace(self, question=question, query=query, **changes)
