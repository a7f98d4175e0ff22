"""The bodies of searches: what is asked, and what is answered."""

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
from app.search.search_request import DEFAULT_LIMIT, MAX_FACETS, MAX_LIMIT
from app.search.search_response import Hit, SearchResponse
from app.web.payloads.examples import SEARCH, shown
from app.web.payloads.field_types import STORABLE, Name
from app.web.payloads.images import file_url, thumbnail_url
from app.web.payloads.search_terms import SearchTerm, SentQuery

MAX_CURSOR_CHARACTERS = 800_000  # a vector of 4,000 dimensions, all words, the longest filter
MAX_FIELD_CHARACTERS = 150

FieldName = Annotated[str, Field(max_length=MAX_FIELD_CHARACTERS, pattern=STORABLE)]
Filter = Annotated[
    dict[str, Any],
    Field(
        description='which pictures, for example {"width": {"gte": 800}, "taken_at": '
        '{"lt": "2024-06-01"}}: see docs/search.md',
        examples=[{"width": {"gte": 300}}],
    ),
]
INCLUDABLE = ("path", "url", "thumbnail_url", "size", "caption", "metadata", "dates", "box")
Part = Literal["path", "url", "thumbnail_url", "size", "caption", "metadata", "dates", "box"]


class HybridOptions(BaseModel):
    """How the rankings by vectors and by words are fused."""

    model_config = ConfigDict(extra="forbid")

    alpha: float = Field(0.5, ge=0, le=1, description="weight of the vectors; words have the rest")
    rrf_k: float = Field(60, ge=1, le=10_000, description="k of reciprocal rank fusion")


class SearchRequest(BaseModel):
    """What is asked; without a query, the pictures that pass the filter."""

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
        None, description="words, or terms that are added up by their weights"
    )
    namespace: Name | None = Field(
        None, description="of the collection; unless given, the key's own, without keys default"
    )
    collection: Name = Field(DEFAULT_NAME, description="where to search")
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="hits on a page at most")
    cursor: str | None = Field(
        None,
        max_length=MAX_CURSOR_CHARACTERS,
        description="next_cursor of the page before; send it alone, or with the same request",
    )
    filter: Filter = Field(default_factory=dict)
    mode: Literal["vector", "lexical", "hybrid"] | None = Field(
        None, description="by vectors (unless said else), by words, or by both"
    )
    hybrid: HybridOptions | None = Field(None, description="mode hybrid, and how")
    min_score: float | None = Field(
        None, allow_inf_nan=False, description="hits of a lower score are left out"
    )
    order_by: FieldName | None = Field(
        None,
        description="a field, or -field for the largest first: the page's hits are sorted by it",
        examples=["-taken_at"],
    )
    group_by: Literal["duplicates"] | None = Field(
        None, description="of pictures that look the same, only the best; it names the others"
    )
    exact: bool = Field(False, description="compare with every picture, without the graph")
    include: list[Part] | None = Field(
        None, description="which parts of hits are told beside id and scores; all unless given"
    )
    facets: list[FieldName] = Field(
        default_factory=list,
        max_length=MAX_FACETS,
        description="declared fields whose values are counted among what passes the filter",
    )
    explain: bool = Field(False, description="tell how the answer and each score came about")

    @model_validator(mode="after")
    def _one_mode(self) -> Self:
        if self.hybrid is not None and self.mode not in {None, "hybrid"}:
            raise ValueError(f"hybrid is for the mode hybrid, not {self.mode}")
        return self

    def question(self, namespace: str) -> search_request.SearchRequest:
        """The domain's form of it, in a namespace that the caller may search."""
        query = [SearchTerm(text=self.query)] if isinstance(self.query, str) else self.query
        hybrid = self.hybrid or HybridOptions()
        return search_request.SearchRequest(
            namespace,
            self.collection,
            tuple(term.term() for term in query or ()),
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
        """Whether nothing is said but the cursor, and which parts to tell."""
        return not (self.model_fields_set - {"cursor", "include"})


class SearchHit(BaseModel):
    """One picture of an answer; parts that were not asked for by `include` are absent."""

    id: int = Field(description="the picture's id")
    score: float | None = Field(
        description="cosine similarity, rank of the words, or their fusion; null without a query"
    )
    distance: float | None = Field(description="cosine distance to the query, 0 (same) to 2")
    vector_rank: int | None = Field(description="place by vectors, from 1")
    lexical_rank: int | None = Field(description="place by words, from 1")
    confidence: float | None = Field(
        description="0 to 1: how surely it is better than chance; null while that is not known"
    )
    path: str | None = Field(None, description="where the file lies")
    url: str | None = Field(None, description="the original")
    thumbnail_url: str | None = Field(None, description="a small WebP")
    width: int | None = Field(None, description="in pixels")
    height: int | None = Field(None, description="in pixels")
    format: str | None = Field(None, description="JPEG, PNG, …")
    caption: str | None = Field(None, description="what people say of it")
    metadata: dict[str, Any] | None = Field(None, description="a JSON object")
    taken_at: datetime | None = Field(None, description="from EXIF")
    created_at: datetime | None = Field(None, description="when it was taken in")
    box: list[float] | None = Field(
        None, description="the region that was hit, as fractions; null: the whole picture"
    )
    duplicates: list[int] = Field(
        description="with group_by: ids of further hits that look the same, as far as this page "
        "had to look for them"
    )
    explain: dict[str, Any] | None = Field(None, description="with explain: what made its score")

    @classmethod
    def of(cls, hit: Hit, include: list[Part] | None) -> Self:
        """The answer's form of what the services return."""
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
    """Milliseconds of an answer."""

    encode: float = Field(description="in the model: what was cached takes none")
    database: float = Field(description="in Postgres")


class FacetValue(BaseModel):
    """A value of a field, and how often it is there."""

    value: str | int | float | bool | None = Field(description="dates in ISO 8601")
    count: int = Field(description="pictures that have it, among those that pass the filter")


class SearchAnswer(BaseModel):
    """Hits, best first, and the truth about them."""

    model_config = shown(SEARCH)

    hits: list[SearchHit] = Field(description="best first, unless order_by says else")
    took_ms: Took = Field(description="how long it took")
    model: str = Field(description="the model that answered")
    fingerprint: str = Field(description="SHA-256 of that model: equal ones give equal vectors")
    index: int = Field(description="the generation of vectors that was searched")
    method: Literal["hnsw", "exact", "lexical", "hybrid", "listing"] = Field(
        description="by the graph, by comparing all, by words, by both; listing: no query"
    )
    pictures: int = Field(description="in the collection")
    coverage: float = Field(description="the share of them that has a vector, 0 to 1")
    no_match: bool | None = Field(
        description="the best hit is not better than chance; null while that is not known"
    )
    underfilled: str | None = Field(description="why there are fewer hits than `limit`")
    total: int | None = Field(description="without a query: how many pass the filter")
    facets: dict[str, list[FacetValue]] | None = Field(description="most frequent values first")
    explain: dict[str, Any] | None = Field(description="how the index was read")
    next_cursor: str | None = Field(description="of the next page; null on the last")
    feedback: Literal["on", "off", "not enough"] = Field(
        description="whether judgements move this collection's queries: on while they improve its "
        "answers, off if not, not enough to tell"
    )
    token: str | None = Field(
        description="to judge this answer by, at /api/v1/feedback; null without a query"
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
        """The answer's form of what the services return."""
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
            total=answer.total,
            facets=facets,
            explain=answer.explained,
            next_cursor=cursors.write(answer.following) if answer.following else None,
            feedback=answer.feedback,
            token=tokens.write(opened.index, answer.query, ids) if answer.query else None,
        )
