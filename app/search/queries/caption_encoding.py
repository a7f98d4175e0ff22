"""What a query's texts say to the sentence model by which a collection's captions are compared."""

from dataclasses import replace

from app.database.tables import Collection
from app.encoders.sentences import SentenceModels
from app.errors import CursorRejected
from app.search.caption_search import CaptionQuery
from app.search.queries.query_encoding import Query, weighted_sum
from app.search.search_request import Page, SearchRequest
from app.understanding.captions.caption_rows import CAPTION


def check_captions(collection: Collection, page: Page) -> None:
    """Raise CursorRejected if a page compares captions by another model than the collection now."""
    if page.query is None or not page.request.compares_captions:
        return
    named = collection.sentence_model if CAPTION in collection.annotators else None
    if (page.query.captions.model if page.query.captions else None) != named:
        raise CursorRejected(
            "cursor: captions are compared by another model now. Ask for the first page again."
        )


def with_captions(
    sentences: SentenceModels, collection: Collection, request: SearchRequest, query: Query
) -> Query:
    """The query, with the weighted sum of its texts where the request gives captions a weight.

    Pictures of the query say nothing to a sentence model. Raises QueryRejected if the texts cancel
    each other out, AnnotatorUnavailable, ModelUnavailable.
    """
    name = collection.sentence_model
    if name is None or not request.compares_captions or CAPTION not in collection.annotators:
        return query
    texts = [(term.text, term.weight) for term in request.terms if term.text is not None]
    found = sentences.of(name).encode_queries([text for text, _ in texts])
    vector, _ = weighted_sum([weight for _, weight in texts], list(found.vectors))
    return replace(query, captions=CaptionQuery(name, found.fingerprint, vector))
