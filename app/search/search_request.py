"""Search requests, and the pages of their results."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.catalog.images.image_listing import Position
from app.errors import QueryRejected
from app.index.scan_plans import Scan
from app.search.queries.query_encoding import Query
from app.search.queries.query_terms import Term
from app.search.reciprocal_rank_fusion import Fusion

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 10
MAX_FACETS = 10
MAX_FILTER_CHARACTERS = 100_000  # as ASCII JSON: cursors contain it

DEFAULT_FUSION = Fusion()

FUSION = {"alpha": "alpha", "rrf_k": "k", "captions": "third"}
"""What requests and cursors call the fields of a Fusion."""

WORDS_FIRST = Fusion(alpha=0.01)  # in a block of 1,000 ranks all lexical matches come first

Mode = Literal["vector", "lexical", "hybrid", "auto"]
"""How to rank; `auto`: pictures that match the words first, if any do, then by vector.

With a term of negative weight `auto` is by vector alone: a name such as car.jpg says what is shown,
but not that the unwanted is shown too.
"""


GroupBy = Literal["duplicates", "copies", "series"]


@dataclass(frozen=True)
class SearchRequest:
    """A search of one collection; without `terms`, a listing of what passes the filter.

    A ranking by vectors leaves out the picture `exclude_id`, the one that was searched with;
    without `regions` it looks at whole pictures and pages alone.
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
    group_by: GroupBy | None = None
    exact: bool = False
    facets: tuple[str, ...] = ()
    explain: bool = False
    exclude_id: int | None = None
    regions: bool = True

    def check(self) -> None:
        """Raise QueryRejected if options contradict each other or are out of range."""
        if not 1 <= self.limit <= MAX_LIMIT:
            raise QueryRejected(f"limit: {self.limit}; 1 to {MAX_LIMIT} are allowed.")
        if len(self.facets) > MAX_FACETS:
            raise QueryRejected(f"facets: {len(self.facets)} fields; {MAX_FACETS} are allowed.")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise QueryRejected("min_score: send a finite number.")
        if len(json.dumps(self.filter)) > MAX_FILTER_CHARACTERS:
            raise QueryRejected(f"filter: more than {MAX_FILTER_CHARACTERS:,} characters of JSON.")
        if self.terms:
            self._check_mode()
        if not self.terms:
            self._check_listing()

    @property
    def has_text(self) -> bool:
        """Whether there are words to search for."""
        return any(term.text is not None and term.weight > 0 for term in self.terms)

    @property
    def may_put_words_first(self) -> bool:
        """Whether the mode auto asks for matches of the words: not where anything is unwanted."""
        return self.has_text and all(term.weight > 0 for term in self.terms)

    @property
    def needs_model(self) -> bool:
        """Whether there is a query, and not of words alone."""
        return bool(self.terms) and self.mode != "lexical"

    @property
    def compares_captions(self) -> bool:
        """Whether the meaning of generated captions has any influence."""
        return self.mode == "hybrid" and self.fusion.third > 0

    @property
    def is_lexical_only(self) -> bool:
        """Whether vectors have no influence on the ranking."""
        return self.mode == "lexical" or (self.mode == "hybrid" and self.fusion.alpha == 0)

    def resolved(self, has_lexical_matches: bool) -> "SearchRequest":
        """The mode auto resolved: hybrid if any picture matches the words, else vector."""
        if self.mode != "auto":
            return self
        if not has_lexical_matches:
            return replace(self, mode="vector")
        return replace(self, mode="hybrid", fusion=WORDS_FIRST)

    def _check_mode(self) -> None:
        if self.mode in {"lexical", "hybrid"} and not self.has_text:
            raise QueryRejected(f"mode: {self.mode} needs a text of positive weight.")
        if self.mode == "lexical":
            self._check_lexical()
        if self.mode == "auto" and self.min_score is not None:
            raise QueryRejected(
                "min_score: in the mode auto scores may be similarities or fused ranks; "
                "choose the mode vector or hybrid."
            )

    def _check_lexical(self) -> None:
        for position, term in enumerate(self.terms):
            if term.text is None or term.weight < 0:
                raise QueryRejected(
                    f"query[{position}]: the mode lexical searches by words alone; to exclude a "
                    "word, write -word into a text."
                )

    def _check_listing(self) -> None:
        defaults = SearchRequest(self.namespace, self.collection)
        for name in ("mode", "min_score", "group_by", "exact"):
            if getattr(self, name) != getattr(defaults, name):
                raise QueryRejected(f"{name}: it needs a query.")

    @property
    def digest(self) -> str:
        """A hash of the request, the same for all of its pages."""
        terms = [term.identity for term in self.terms]
        canonical = json.dumps([terms, self.as_json()], sort_keys=True)
        return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()[:32]

    def as_json(self) -> dict[str, Any]:
        """Everything a cursor needs: no terms, and no `explain` and facets, which are page 1's."""
        excluded = {"terms", "fusion", "explain", "facets"}
        stored = {name: value for name, value in vars(self).items() if name not in excluded}
        return {**stored, **{told: getattr(self.fusion, name) for told, name in FUSION.items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "SearchRequest":
        """The inverse of `as_json`."""
        fields = {name: value for name, value in stored.items() if name not in FUSION}
        fusion = {name: stored[told] for told, name in FUSION.items() if told in stored}
        return cls(**fields, fusion=Fusion(**fusion))


@dataclass(frozen=True, eq=False)
class Page:
    """Where a page begins: at an offset of a ranking, or after a position of a listing.

    `digest` is that of the request with its terms; `query` is what they were encoded to.
    `index_id` identifies the generation of vectors.
    """

    request: SearchRequest
    digest: str
    index_id: int
    query: Query | None = None
    scan: Scan | None = None
    offset: int = 0
    after: Position | None = None
    no_match: bool | None = None

    @classmethod
    def first(cls, request: SearchRequest, index_id: int, query: Query | None) -> "Page":
        """The first page of results."""
        return cls(request, request.digest, index_id, query)

    def next(self, **changes: Any) -> "Page":
        """The next page, without what applies to the first page only."""
        request = replace(self.request, terms=(), explain=False, facets=())
        query = replace(self.query, terms=(), pulls=()) if self.query else None
        return replace(self, request=request, query=query, **changes)
