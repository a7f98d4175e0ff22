"""The answers of searches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
)

from app.catalog.images.image_names import original_filename, source_path
from app.runtime.collection_registry import OpenCollection
from app.search import search_response, search_warnings
from app.search.cursors import Cursors
from app.search.feedback_tokens import FeedbackTokens
from app.search.search_response import Hit
from app.search.search_warnings import WarningCode
from app.search.suggestions import filter_suggestions
from app.vectors import Vectors
from app.web.addresses import PictureAddresses
from app.web.payloads.examples import SEARCH, with_examples
from app.web.payloads.feedback import FeedbackStatus
from app.web.payloads.images import taken_at
from app.web.payloads.search.request import INCLUDABLE, ON_REQUEST, Part


class SearchHit(BaseModel):
    """One hit; parts that `include` does not name are absent."""

    id: int = Field(description="the picture's id")
    external_id: str | None = Field(description="the id that your own system has for it")
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
    page: int | None = Field(
        None,
        description="where a collection indexes all pages: the page or frame that is most like the "
        "query, from 1; null for pictures with one",
    )
    path: str | None = Field(
        None, description="path of the file in its folder or bucket; null for uploads"
    )
    original_filename: str | None = Field(None, description="name of the file, as it was submitted")
    url: str | None = Field(
        None, description="address of the original file, signed if a key was sent"
    )
    thumbnail_url: str | None = Field(None, description="address of a small WebP, signed likewise")
    width: int | None = Field(None, description="in pixels")
    height: int | None = Field(None, description="in pixels")
    format: str | None = Field(None, description="JPEG, PNG, …")
    caption: str | None = Field(None, description="what it shows, in words")
    metadata: dict[str, Any] | None = Field(None, description="a JSON object")
    taken_at: datetime | None = Field(None, description="from EXIF, by the clock of the place")
    created_at: datetime | None = Field(None, description="when it was added")
    box: list[float] | None = Field(
        None, description="the region that was found, as fractions; null: the whole picture"
    )
    vector: list[float] | None = Field(
        None,
        description="the embedding of the whole picture, of unit length, if `include` names it; "
        "null while there is none",
    )
    duplicates: list[int] = Field(
        description="with group_by: ids of the hits that this one stands for, as far as this page "
        "has looked"
    )
    explain: dict[str, Any] | None = Field(
        None, description="with explain: what its score is made of"
    )

    @classmethod
    def of(
        cls,
        hit: Hit,
        addresses: PictureAddresses,
        include: list[Part] | None,
        vector: Vectors | None,
    ) -> Self:
        """The payload of a hit; `vector` has the shape (dimensions,)."""
        image, found = hit.image, hit.found
        told: dict[str, Any] = {
            "id": image.id,
            "external_id": image.external_id,
            "score": found.score if found else None,
            "distance": found.distance if found else None,
            "vector_rank": found.vector_rank if found else None,
            "lexical_rank": found.lexical_rank if found else None,
            "confidence": hit.confidence,
            "page": hit.page,
            "duplicates": list(hit.duplicates),
        }
        parts: dict[str, dict[str, Any]] = {
            "path": {"path": source_path(image)},
            "original_filename": {"original_filename": original_filename(image)},
            "url": {"url": addresses.file(image)},
            "thumbnail_url": {"thumbnail_url": addresses.thumbnail(image, hit.page)},
            "size": {"width": image.width, "height": image.height, "format": image.format},
            "caption": {"caption": image.caption},
            "metadata": {"metadata": image.metadata},
            "dates": {"taken_at": taken_at(image), "created_at": image.created_at},
            "box": {"box": None},
            "vector": {"vector": None if vector is None else vector.tolist()},
        }
        by_default = [part for part in INCLUDABLE if part not in ON_REQUEST]
        for part in by_default if include is None else include:
            told |= parts[part]
        if hit.why is not None:
            told["explain"] = hit.why
        return cls(**told)


class SearchTimings(BaseModel):
    """Time in milliseconds."""

    encode: float = Field(description="in the model; 0 for cached embeddings")
    database: float = Field(description="in Postgres")


class SearchWarning(BaseModel):
    """One reason why there are fewer hits than `limit`."""

    code: WarningCode = Field(description="the kind of reason, which does not change")
    message: str = Field(description="the reason in words")

    @classmethod
    def of(cls, warning: search_warnings.SearchWarning) -> Self:
        """The payload of a warning."""
        return cls(code=warning.code, message=warning.message)


class SuggestedFilter(BaseModel):
    """A part of the query's text that could be a filter instead; it was not applied."""

    text: str = Field(description="the part, as it was sent: last summer")
    filter: dict[str, Any] = Field(description="the filter that it stands for")
    query: str = Field(description="the query's text without it; may be empty")

    @classmethod
    def of(cls, found: filter_suggestions.SuggestedFilter) -> Self:
        """The payload of a suggestion."""
        return cls(text=found.text, filter=dict(found.filter), query=found.query)


class FacetValue(BaseModel):
    """A value of a field, and how many pictures have it."""

    value: str | int | float | bool | None = Field(description="dates in ISO 8601")
    count: int = Field(
        description="number of pictures with this value, among those that pass the filter"
    )


@dataclass(frozen=True)
class References:
    """What an answer gives for later requests: addresses, cursors of pages, tokens to rate it."""

    cursors: Cursors
    tokens: FeedbackTokens
    addresses: PictureAddresses


class SearchResponse(BaseModel):
    """Hits, best first, and how far they can be trusted."""

    model_config = with_examples(SEARCH)

    hits: list[SearchHit] = Field(description="best first, unless order_by is set")
    timings_ms: SearchTimings = Field(description="time taken")
    model: str = Field(description="the model that answered")
    fingerprint: str = Field(
        description="SHA-256 of that model; models with the same one give the same vectors"
    )
    index_id: int = Field(description="id of the vector index that was searched")
    method: Literal["hnsw", "exact", "lexical", "hybrid", "listing"] = Field(
        description="hnsw: by the graph; exact: compared with all; lexical: by words; hybrid: by "
        "vectors and words; listing: no query"
    )
    collection_size: int = Field(description="number of pictures in the collection")
    coverage: float = Field(description="share of the pictures that have a vector, 0 to 1")
    no_match: bool | None = Field(
        description="true: the best hit is no better than chance; null until that was measured"
    )
    warnings: list[SearchWarning] = Field(
        description="why there are fewer hits than `limit`; empty if there are not"
    )
    unused_text: str | None = Field(
        description="the end of the query's text that was not used, since it exceeds the model's "
        "context; null on further pages"
    )
    suggested_filters: list[SuggestedFilter] = Field(
        description="dates and names in the query's text that pictures of the collection have, as "
        "filters to choose from; empty on further pages"
    )
    total: int | None = Field(
        description="without a query: number of pictures that pass the filter"
    )
    facets: dict[str, list[FacetValue]] | None = Field(
        description="values by field, most frequent first"
    )
    explain: dict[str, Any] | None = Field(description="with explain: how the index was read")
    next_cursor: str | None = Field(description="cursor of the next page; null on the last")
    feedback: FeedbackStatus = Field(
        description="whether ratings move this collection's queries: on while they improve its "
        "answers, off if not, not_enough_data if there are too few ratings to tell"
    )
    token: str | None = Field(
        description="token to rate this answer with at /api/v1/feedback; null without a query"
    )

    @classmethod
    def of(
        cls,
        opened: OpenCollection,
        answer: search_response.SearchResponse,
        references: References,
        include: list[Part] | None = None,
    ) -> Self:
        """The payload of a response. Queries the database if vectors are included."""
        facets = (
            None
            if answer.facets is None
            else {
                name: [FacetValue(value=value, count=pictures) for value, pictures in found]
                for name, found in answer.facets.items()
            }
        )
        ids = [hit.image.id for hit in answer.hits]
        cursors, tokens = references.cursors, references.tokens
        vectors = opened.search.vectors(ids) if "vector" in (include or ()) else {}
        return cls(
            hits=[
                SearchHit.of(hit, references.addresses, include, vectors.get(hit.image.id))
                for hit in answer.hits
            ],
            timings_ms=SearchTimings(encode=answer.encode_ms, database=answer.database_ms),
            model=opened.index.space.name,
            fingerprint=opened.index.fingerprint,
            index_id=opened.index.id,
            method=answer.method,
            collection_size=answer.counts.pictures,
            coverage=answer.counts.coverage,
            no_match=answer.no_match,
            warnings=[SearchWarning.of(one) for one in answer.warnings],
            unused_text=(answer.query.unused_text or None) if answer.query else None,
            suggested_filters=[SuggestedFilter.of(one) for one in answer.suggested_filters],
            total=answer.total,
            facets=facets,
            explain=answer.explained,
            next_cursor=cursors.write(answer.following) if answer.following else None,
            feedback=answer.feedback,
            token=tokens.write(opened.index, answer.query, ids) if answer.query else None,
        )
