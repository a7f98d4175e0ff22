"""Score breakdowns: what `explain` reports about a search and each of its hits."""

from typing import Any

from app.search.queries.query_encoding import Query
from app.search.ranking import RankedImage, Ranking
from app.search.search_request import SearchRequest
from app.vectors import Vectors


def explain_hit(
    request: SearchRequest, query: Query, found: RankedImage, vector: Vectors | None
) -> dict[str, Any]:
    """The parts of one hit's score; `vector` is the picture's, shape (dimensions,)."""
    details: dict[str, Any] = {}
    if vector is not None and query.terms:
        details["terms"] = _term_contributions(query, vector)
    if vector is not None and query.pulls:
        details["feedback"] = _feedback_contributions(query, vector)
    if request.mode == "hybrid":
        details["from_vector"] = request.fusion.score(found.vector_rank, None)
        details["from_words"] = request.fusion.score(None, found.lexical_rank)
        if request.compares_captions:
            details["from_captions"] = request.fusion.score(None, None, found.caption_rank)
    if request.mode == "lexical":
        details["from_words"] = found.score
    return details


def _term_contributions(query: Query, vector: Vectors) -> list[dict[str, Any]]:
    """Together with those of feedback, they add up to the cosine similarity."""
    return [
        {
            "term": term.label,
            "weight": term.weight,
            "similarity": (similarity := float(term.vector @ vector)),
            "adds": term.share * similarity / query.length,
        }
        for term in query.terms
    ]


def _feedback_contributions(query: Query, vector: Vectors) -> list[dict[str, Any]]:
    return [
        {
            "query": pull.query,
            "image_id": pull.image_id,
            "rating": pull.rating,
            "weight": pull.weight,
            "similarity": (similarity := float(pull.vector @ vector)),
            "adds": pull.weight * similarity / query.length,
        }
        for pull in query.pulls
    ]


def explain_search(request: SearchRequest, query: Query, ranking: Ranking) -> dict[str, Any]:
    """How the results were found."""
    explained: dict[str, Any] = {"method": ranking.method}
    scan = ranking.scan
    if scan is not None:
        explained["scan"] = {
            "method": scan.method,
            "ef_search": scan.candidates if scan.method == "hnsw" else None,
            "filter_passes_few": scan.few,
        }
    if request.mode != "vector":
        explained["words"] = query.words
    if request.compares_captions:
        asked, space = query.captions, ranking.index.space
        explained["captions"] = {
            "model": asked.model if asked else space.name,
            "fingerprint": asked.fingerprint if asked else space.fingerprint,
        }
    if query.pulls:
        explained["feedback"] = [
            {"query": pull.query, "image_id": pull.image_id, "rating": pull.rating}
            for pull in query.pulls
        ]
    return explained
