"""Bodies about standing searches and what they have found."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.catalog.collections import DEFAULT_NAME
from app.catalog.standing.match_rows import Match
from app.catalog.standing.standing_search_rows import StandingSearch
from app.index.calibration import NO_MATCH_BELOW
from app.runtime.standing.standing_searches import title_of
from app.search.queries.query_terms import Term
from app.web.addresses import Addresses, PictureAddresses
from app.web.pagination import page_of
from app.web.payloads.examples import IMAGE, Example, with_examples
from app.web.payloads.field_types import Name
from app.web.payloads.images import ImageDetails
from app.web.payloads.jobs.job_submission import Url
from app.web.payloads.jobs.jobs import WebhookDelivery
from app.web.payloads.search.request import Filter
from app.web.payloads.search.terms import StandingQuery, StandingTerm

STANDING_SEARCHES, MATCHES = "standing searches", "matches"  # as their cursors name them

SEARCH: Example = {
    "id": 3,
    "namespace": "default",
    "collection": "default",
    "title": "a green tree",
    "query": [{"text": "a green tree", "id": None, "weight": 1.0}],
    "filter": {"width": {"gte": 300}},
    "min_confidence": 0.9,
    "webhook": True,
    "problem": None,
    "created_at": "2026-11-29T12:00:00Z",
    "url": "/api/v1/standing-searches/3",
    "feed_url": "/api/v1/standing-searches/3/feed",
    "events_url": "/api/v1/standing-searches/3/events",
}
MATCH: Example = {
    "id": 17,
    "standing_search_id": 3,
    "similarity": 0.3057,
    "confidence": 0.98,
    "matched_at": "2026-11-29T12:00:01Z",
    "image": IMAGE,
    "webhook": None,
}


class StandingSearchCreate(BaseModel):
    """A search that new pictures are to be compared with."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"query": "a green tree", "min_confidence": 0.95},
                {"query": [{"text": "a red car"}], "filter": {"width": {"gte": 300}}},
            ]
        },
    )

    query: StandingQuery = Field(
        description="a text, or a list of terms whose embeddings are added up by weight"
    )
    namespace: Name | None = Field(
        None,
        description="the collection's namespace; if omitted, the key's own, or `default` without "
        "keys",
    )
    collection: Name = Field(DEFAULT_NAME, description="the collection whose new pictures count")
    filter: Filter = Field(default_factory=dict)
    min_confidence: float = Field(
        NO_MATCH_BELOW,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="the least `confidence` of a match, as a search gives it",
    )
    webhook_url: Url | None = Field(
        None,
        description="http or https address that is sent a signed message about each match: see "
        "docs/standing-searches.md#webhooks",
    )

    def terms(self) -> list[Term]:
        """The query as the search package takes it."""
        sent = [StandingTerm(text=self.query)] if isinstance(self.query, str) else self.query
        return [term.to_domain() for term in sent]


class StandingSearchDetails(BaseModel):
    """A standing search; `webhook_url` is not told, since an address may hold a secret."""

    model_config = with_examples(SEARCH)

    id: int = Field(description="its id")
    namespace: str = Field(description="the collection's namespace")
    collection: str = Field(description="the collection whose new pictures count")
    title: str = Field(description="the query in words")
    query: list[StandingTerm] = Field(description="the terms of the query")
    filter: dict[str, Any] = Field(description="which pictures count")
    min_confidence: float = Field(description="the least `confidence` of a match")
    webhook: bool = Field(description="whether matches are sent to an address")
    problem: str | None = Field(description="why it finds nothing at present; null: it does")
    created_at: datetime = Field(description="pictures that were added since then count")
    url: str = Field(description="its address")
    feed_url: str = Field(
        description="address of what it has found as an Atom feed, signed if a key was sent: for a "
        "feed reader, which needs no key then"
    )
    events_url: str = Field(description="address of new matches as server-sent events")

    @classmethod
    def of(cls, search: StandingSearch, addresses: Addresses, feed_url: str) -> Self:
        """The details of a standing search."""
        known = {name: value for name, value in vars(search).items() if name in cls.model_fields}
        query = [
            StandingTerm(text=one["text"], id=one["image_id"], weight=one["weight"])
            for one in search.terms
        ]
        url = addresses.standing_search(search.id)
        return cls(
            **known,
            title=title_of(search),
            query=query,
            webhook=search.webhook_url is not None,
            url=url,
            feed_url=feed_url,
            events_url=f"{url}/events",
        )


class StandingSearchPage(BaseModel):
    """A page of standing searches."""

    model_config = with_examples({"data": [SEARCH], "next_cursor": None})

    data: list[StandingSearchDetails] = Field(description="newest first")
    next_cursor: str | None = Field(description="null on the last page")


class StandingMatch(BaseModel):
    """A new picture that a standing search has found."""

    model_config = with_examples(MATCH)

    id: int = Field(description="the match's id, higher than those of earlier ones")
    standing_search_id: int = Field(description="the standing search")
    similarity: float = Field(description="cosine similarity to the query")
    confidence: float = Field(
        description="0 to 1: how sure it was that the picture is better than chance"
    )
    matched_at: datetime = Field(description="when it was found")
    image: ImageDetails = Field(description="the picture, as it is now")
    webhook: WebhookDelivery | None = Field(
        description="the message about it; null: its search has no webhook"
    )

    @classmethod
    def of(cls, match: Match, addresses: PictureAddresses) -> Self:
        """The payload of a match."""
        return cls(
            id=match.id,
            standing_search_id=match.search_id,
            similarity=match.similarity,
            confidence=match.confidence,
            matched_at=match.created_at,
            image=ImageDetails.of(match.image, addresses),
            webhook=None if match.report is None else WebhookDelivery(**vars(match.report)),
        )


class StandingMatchPage(BaseModel):
    """A page of matches."""

    model_config = with_examples({"data": [MATCH], "next_cursor": None})

    data: list[StandingMatch] = Field(description="newest first, without deleted pictures")
    next_cursor: str | None = Field(description="null on the last page")

    @classmethod
    def of(cls, found: list[Match], limit: int, addresses: PictureAddresses) -> Self:
        """A page of `limit`; one more match says that there is a next one."""
        shown, more = page_of(MATCHES, found, limit)
        return cls(data=[StandingMatch.of(one, addresses) for one in shown], next_cursor=more)
