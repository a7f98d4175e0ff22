"""What a search answers with: the hits of one page, and what is known about their quality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.catalog.images.image_listing import Key
from app.database.tables import Image
from app.feedback.query_adjustment import State
from app.index.statistics import Counts
from app.search.queries.query_encoding import Query
from app.search.ranking import RankedImage
from app.search.search_request import Page
from app.search.search_warnings import SearchWarning
from app.search.suggestions.filter_suggestions import SuggestedFilter
from app.understanding.texts.text_lines import TextLine


@dataclass(frozen=True)
class Hit:
    """A search result; ranks start at 1 and are None if that ranking does not contain the picture.

    Without a query it has no score. `duplicates` are ids of hits that it represents. `why` is the
    breakdown of its score, if requested. `page` is the page or frame that is most like the query,
    from 1; None for a picture with one. `box`, [x, y, width, height] as fractions, is the region of
    the picture that is most like it; None where the whole is. `lines` are those read in the picture
    that hold words of the query.
    """

    image: Image
    found: RankedImage | None = None
    confidence: float | None = None
    duplicates: Sequence[int] = ()
    why: Mapping[str, Any] | None = None
    page: int | None = None
    box: Sequence[float] | None = None
    lines: Sequence[TextLine] = ()

    @property
    def seconds(self) -> float | None:
        """When the page of a video is shown; None for any other file, and where none was found."""
        times = self.image.frame_times or ()
        page = 1 if self.page is None and len(times) == 1 else self.page
        return times[page - 1] if page is not None and page <= len(times) else None


@dataclass(frozen=True)
class SearchResponse:
    """Hits, and what is known about their quality.

    `no_match` says that the best hit is no better than an unrelated one; None if unknown.
    `warnings` say why there are fewer hits than requested. `total` is known for listings only.
    `feedback` says whether ratings adjust the queries of this collection.
    """

    hits: Sequence[Hit]
    method: str
    counts: Counts
    encode_ms: float
    database_ms: float
    no_match: bool | None = None
    warnings: Sequence[SearchWarning] = ()
    total: int | None = None
    facets: Mapping[str, Sequence[tuple[Key, int]]] | None = None
    explained: Mapping[str, Any] | None = None
    following: Page | None = None
    query: Query | None = None
    suggested_filters: Sequence[SuggestedFilter] = ()
    feedback: State = "not_enough_data"
