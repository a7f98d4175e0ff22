"""What a score is made of, and how an answer was found: what `explain` tells of a search."""

from typing import Any

from app.search.query_encoding import Query
from app.search.ranking import RankedImage, Ranking
from app.search.search_request import SearchRequest
from app.vectors import Vectors


def of_hit(
    question: SearchRequest, query: Query, found: RankedImage, vector: Vectors | None
) -> dict[str, Any]:
    """What the score of one hit is made of; `vector` is its picture's, shape (dimensions,)."""
    why: dict[str, Any] = {}
    if vector is not None and query.parts:
        why["terms"] = _terms(query, vector)
    if vector is not None and query.pulls:
        why["feedback"] = _judgements(query, vector)
    if question.mode == "hybrid":
        why["from_vector"] = question.fusion.score(found.vector_rank, None)
        why["from_words"] = question.fusion.score(None, found.lexical_rank)
    if question.mode == "lexical":
        why["from_words"] = found.score
    return why


def _terms(query: Query, vector: Vectors) -> list[dict[str, Any]]:
    """With what judgements add, these add up to the cosine similarity."""
    return [
        {
            "term": part.shown,
            "weight": part.weight,
            "similarity": (similarity := float(part.vector @ vector)),
            "adds": part.share * similarity / query.length,
        }
        for part in query.parts
    ]


def _judgements(query: Query, vector: Vectors) -> list[dict[str, Any]]:
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


def of_answer(question: SearchRequest, query: Query, ranking: Ranking) -> dict[str, Any]:
    """How the answer was found."""
    explained: dict[str, Any] = {"method": ranking.method}
    scan = ranking.scan
    if scan is not None:
        explained["scan"] = {
            "method": scan.method,
            "ef_search": scan.candidates if scan.method == "hnsw" else None,
            "filter_passes_few": scan.few,
        }
    if question.mode != "vector":
        explained["words"] = query.words
    if query.pulls:
        explained["feedback"] = [
            {"query": pull.query, "image_id": pull.image_id, "rating": pull.rating}
            for pull in query.pulls
        ]
    return explained
