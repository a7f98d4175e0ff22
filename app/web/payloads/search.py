"""Payloads of searches: requests and responses."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from app.catalog.collections import DEFAULT_NAME
from app.runtime.collection_registry import OpenCollection
from app.search import search_request
from app.search.cursors import Cursors
from app.search.feedback_tokens import FeedbackTokens
from app.search.reciprocal_rank_fusion import Fusion
from app.search.search_request import DEFAULT_LIMIT, MAX_FACETS, MAX_LIMIT, Mode
from app.search.search_response import Hit, SearchResponse
from app.web.payloads.examples import SEARCH, with_examples
from app.web.payloads.field_types import STORABLE, Name
from app.web.payloads.images import file_url, thumbnail_url
from app.web.payloads.search_terms import SearchTerm, SentQuery

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
INCLUDABLE = ("path", "url", "thumbnail_url", "size", "caption", "metadata", "dates", "box")
Part = Literal["path", "url", "thumbnail_url", "size", "caption", "metadata", "dates", "box"]


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
        description="a field, or -field for descending order: sorts the hits of the page",
        examples=["-taken_at"],
    )
    group_by: Literal["duplicates", "copies"] | None = Field(
        None,
        description="duplicates: of pictures that look the same only the best hit, which lists the "
        "others; copies: of files with the same bytes",
    )
    exact: bool = Field(False, description="compare with every picture instead of using the graph")
    include: list[Part] | None = Field(
        None, description="the parts of a hit to return beside its id and scores; all if omitted"
    )
    facets: list[FieldName] = Field(
        default_factory=list,
        max_length=MAX_FACETS,
        description="declared fields whose values are counted among the pictures that pass the "
        "filter",
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
            Fusion(hybrid.alpha, hybrid.rrf_k),
            self.min_score,
            self.order_by,
            self.group_by,
            self.exact,
            tuple(self.facets),
            self.explain,
        )

    @property
    def is_bare(self) -> bool:
        """Whether the request holds nothing but a cursor and `include`."""
        return not (self.model_fields_set - {"cursor", "include"})


class SearchHit(BaseModel):
    """One hit; parts that `include` does not name are absent."""

    id: int = Field(description="the picture's id")
    score: float | None = Field(
        description="cosine similarity, rank by words, or both combined; null without a query"
    )
    distance: float | None = Field(description="cosine distance to the query, 0 (same) to 2")
    vector_rank: int | None = Field(description="rank by vectors, from 1")
    lexical_rank: int | None = Field(description="rank by words, from 1")
    confidence: float | None = Field(
        description="0 to 1: how sure it is that the hit is better than chance; null until that "
        "was measured"
    )
    path: str | None = Field(None, description="path of the file")
    url: str | None = Field(None, description="address of the original file")
    thumbnail_url: str | None = Field(None, description="address of a small WebP")
    width: int | None = Field(None, description="in pixels")
    height: int | None = Field(None, description="in pixels")
    format: str | None = Field(None, description="JPEG, PNG, …")
    caption: str | None = Field(None, description="what it shows, in words")
    metadata: dict[str, Any] | None = Field(None, description="a JSON object")
    taken_at: datetime | None = Field(None, description="from EXIF")
    created_at: datetime | None = Field(None, description="when it was added")
    box: list[float] | None = Field(
        None, description="the region that was found, as fractions; null: the whole picture"
    )
    duplicates: list[int] = Field(
        description="with group_by: ids of the hits that this one stands for, as far as this page "
        "has looked"
    )
    explain: dict[str, Any] | None = Field(
        None, description="with explain: what its score is made of"
    )

    @classmethod
    def of(cls, hit: Hit, include: list[Part] | None) -> Self:
        """The payload of a hit."""
        image, found = hit.image, hit.found
        told: dict[str, Any] = {
            "id": image.id,
            "score": found.score if found else None,
            "distance": found.distance if found else None,
            "vector_rank": found.vector_rank if found else None,
            "lexical_rank": found.lexical_rank if found else None,
            "confidence": hit.confidence,
            "duplicates": list(hit.duplicates),
        }
        parts: dict[str, dict[str, Any]] = {
            "path": {"path": image.path},
            "url": {"url": file_url(image)},
            "thumbnail_url": {"thumbnail_url": thumbnail_url(image)},
            "size": {"width": image.width, "height": image.height, "format": image.format},
            "caption": {"caption": image.caption},
            "metadata": {"metadata": image.metadata},
            "dates": {"taken_at": image.taken_at, "created_at": image.created_at},
            "box": {"box": None},
        }
        for part in INCLUDABLE if include is None else include:
            told |= parts[part]
        if hit.why is not None:
            told["explain"] = hit.why
        return cls(**told)


class Took(BaseModel):
    """Time in milliseconds."""

    encode: float = Field(description="in the model; 0 for cached embeddings")
    database: float = Field(description="in Postgres")


class FacetValue(BaseModel):
    """A value of a field, and how many pictures have it."""

    value: str | int | float | bool | None = Field(description="dates in ISO 8601")
    count: int = Field(
        description="number of pictures with this value, among those that pass the filter"
    )


class SearchAnswer(BaseModel):
    """Hits, best first, and how far they can be trusted."""

    model_config = with_examples(SEARCH)

    hits: list[SearchHit] = Field(description="best first, unless order_by is set")
    took_ms: Took = Field(description="time taken")
    model: str = Field(description="the model that answered")
    fingerprint: str = Field(
        description="SHA-256 of that model; models with the same one give the same vectors"
    )
    index: int = Field(description="id of the vector index that was searched")
    method: Literal["hnsw", "exact", "lexical", "hybrid", "listing"] = Field(
        description="hnsw: by the graph; exact: compared with all; lexical: by words; hybrid: by "
        "vectors and words; listing: no query"
    )
    pictures: int = Field(description="number of pictures in the collection")
    coverage: float = Field(description="share of the pictures that have a vector, 0 to 1")
    no_match: bool | None = Field(
        description="true: the best hit is no better than chance; null until that was measured"
    )
    underfilled: str | None = Field(description="why there are fewer hits than `limit`")
    unused_text: str | None = Field(
        description="the end of the query's text that was not used, since it exceeds the model's "
        "context; null on further pages"
    )
    total: int | None = Field(
        description="without a query: number of pictures that pass the filter"
    )
    facets: dict[str, list[FacetValue]] | None = Field(
        description="values by field, most frequent first"
    )
    explain: dict[str, Any] | None = Field(description="with explain: how the index was read")
    next_cursor: str | None = Field(description="cursor of the next page; null on the last")
    feedback: Literal["on", "off", "not enough"] = Field(
        description="whether ratings move this collection's queries: on while they improve its "
        "answers, off if not, not enough if there are too few ratings to tell"
    )
    token: str | None = Field(
        description="token to rate this answer with at /api/v1/feedback; null without a query"
    )

    @classmethod
    def of(
        cls,
        opened: OpenCollection,
        answer: SearchResponse,
        cursors: Cursors,
        tokens: FeedbackTokens,
        include: list[Part] | None = None,
    ) -> Self:
        """The payload of a response."""
        facets = (
            None
            if answer.facets is None
            else {
                name: [FacetValue(value=value, count=pictures) for value, pictures in found]
                for name, found in answer.facets.items()
            }
        )
        ids = [hit.image.id for hit in answer.hits]
        return cls(
            hits=[SearchHit.of(hit, include) for hit in answer.hits],
            took_ms=Took(encode=answer.encode_ms, database=answer.database_ms),
            model=opened.index.space.name,
            fingerprint=opened.index.fingerprint,
            index=opened.index.id,
            method=answer.method,
            pictures=answer.counts.pictures,
            coverage=answer.counts.coverage,
            no_match=answer.no_match,
            underfilled=answer.underfilled,
            unused_text=(answer.query.unused_text or None) if answer.query else None,
            total=answer.total,
            facets=facets,
            explain=answer.explained,
            next_cursor=cursors.write(answer.following) if answer.following else None,
            feedback=answer.feedback,
            token=tokens.write(opened.index, answer.query, ids) if answer.query else None,
        )
