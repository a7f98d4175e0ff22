"""The requests of searches."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from app.catalog.collections import DEFAULT_NAME
from app.search import search_request
from app.search.page_content import MAX_SORTED
from app.search.reciprocal_rank_fusion import Fusion
from app.search.search_request import DEFAULT_LIMIT, MAX_FACETS, MAX_LIMIT, GroupBy, Mode
from app.web.payloads.field_types import STORABLE, Name
from app.web.payloads.search.terms import SearchTerm, SentQuery

MAX_CURSOR_CHARACTERS = 800_000  # a vector of 4,000 dimensions, the longest text and filter
MAX_FIELD_CHARACTERS = 150

FieldName = Annotated[str, Field(max_length=MAX_FIELD_CHARACTERS, pattern=STORABLE)]
Filter = Annotated[
    dict[str, Any],
    Field(
        description='which pictures count, for example {"width": {"gte": 800}, "taken_at": '
        '{"lt": "2024-06-01"}}: see docs/search.md',
        examples=[{"width": {"gte": 300}}],
    ),
]
Part = Literal[
    "path",
    "original_filename",
    "url",
    "thumbnail_url",
    "size",
    "caption",
    "metadata",
    "dates",
    "vector",
    "box",
    "texts",
]
INCLUDABLE: tuple[Part, ...] = get_args(Part)
ON_REQUEST: set[Part] = {"vector"}
"""Parts that an answer has only if `include` names them."""


class HybridOptions(BaseModel):
    """How the rankings by vectors and by words are combined."""

    model_config = ConfigDict(extra="forbid")

    alpha: float = Field(
        0.5,
        ge=0,
        le=1,
        description="weight of the ranking by vectors; the ranking by words has the rest",
    )
    rrf_k: float = Field(
        60, ge=1, le=10_000, description="the constant k of reciprocal rank fusion"
    )
    captions: float = Field(
        0,
        ge=0,
        le=1,
        description="weight of a third ranking, by how near the meaning of generated captions is "
        "to the query, by the collection's sentence model or else its own; 0: none",
    )


class SearchRequest(BaseModel):
    """A search; without a query it lists the pictures that pass the filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"query": "a green tree", "limit": 4},
                {
                    "query": [{"text": "a red car"}, {"text": "a person", "weight": -0.5}],
                    "filter": {"width": {"gte": 300}},
                },
            ]
        },
    )

    query: SentQuery | None = Field(
        None, description="a text, or a list of terms whose embeddings are added up by weight"
    )
    namespace: Name | None = Field(
        None,
        description="the collection's namespace; if omitted, the key's own, or `default` without "
        "keys",
    )
    collection: Name = Field(DEFAULT_NAME, description="the collection to search")
    limit: int = Field(
        DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="maximum number of hits on a page"
    )
    cursor: str | None = Field(
        None,
        max_length=MAX_CURSOR_CHARACTERS,
        description="`next_cursor` of the previous page; send it alone or with the same request",
    )
    filter: Filter = Field(default_factory=dict)
    mode: Mode | None = Field(
        None,
        description="rank by vectors (the default), by words, or by both; auto: pictures that "
        "match the words first, if any do, then by vectors",
    )
    hybrid: HybridOptions | None = Field(
        None, description="selects mode hybrid, and says how to combine the rankings"
    )
    min_score: float | None = Field(
        None, allow_inf_nan=False, description="leaves out hits with a lower score"
    )
    order_by: FieldName | None = Field(
        None,
        description="a field, or -field for descending order; with a query, the best "
        f"{MAX_SORTED} hits are sorted as a whole, and pages end after them",
        examples=["-taken_at"],
    )
    group_by: GroupBy | None = Field(
        None,
        description="duplicates: of pictures that look the same only the best hit, which lists the "
        "others; copies: of files with the same bytes; series: of bursts, and of a picture with "
        "its edited copies",
    )
    regions: bool = Field(
        True,
        description="where a collection has regions: also look at parts of pictures; false: at "
        "whole pictures alone",
    )
    exact: bool = Field(False, description="compare with every picture instead of using the graph")
    include: list[Part] | None = Field(
        None,
        description="the parts of a hit to return beside its id and scores; all but "
        "`vector` if omitted",
    )
    facets: list[FieldName] = Field(
        default_factory=list,
        max_length=MAX_FACETS,
        description="fields, declared or filled by files, whose values are counted among the "
        "pictures that pass the filter",
    )
    explain: bool = Field(
        False, description="explain how the index was read and what each score is made of"
    )

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        if self.hybrid is not None and self.mode not in {None, "hybrid"}:
            raise ValueError(f"hybrid is for the mode hybrid, not {self.mode}")
        return self

    def to_domain(self, namespace: str) -> search_request.SearchRequest:
        """The request as the search package takes it; `namespace` is one the caller may search."""
        query = [SearchTerm(text=self.query)] if isinstance(self.query, str) else self.query
        hybrid = self.hybrid or HybridOptions()
        return search_request.SearchRequest(
            namespace,
            self.collection,
            tuple(term.to_domain() for term in query or ()),
            self.mode or ("hybrid" if self.hybrid else "vector"),
            self.limit,
            self.filter,
            Fusion(hybrid.alpha, hybrid.rrf_k, hybrid.captions),
            self.min_score,
            self.order_by,
            self.group_by,
            self.exact,
            tuple(self.facets),
            self.explain,
            regions=self.regions,
        )

    @property
    def is_bare(self) -> bool:
        """Whether the request holds nothing but a cursor and `include`."""
        return not (self.model_fields_set - {"cursor", "include"})
