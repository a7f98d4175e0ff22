"""Feedback tokens: a query and the hits shown for it, signed, to be sent back with a rating.

A token contains everything a judgement needs, so that searching writes nothing.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from app.access.signed_tokens import Signer
from app.database.tables import VectorIndex
from app.errors import TokenRejected
from app.search.queries.query_encoding import Query
from app.vectors import Vectors

AUDIENCE = "feedback"
TOKEN_FORMAT = 1  # to be raised where an older token would be misread
MAX_TEXT_CHARACTERS = 200  # of a query; for longer ones the vector is smaller than the text
INT8_MAX = 127  # quantised components lie between −127 and 127


@dataclass(frozen=True, eq=False)
class ShownAnswer:
    """A search response as recorded in its token, with the query as `text` or else as `vector`.

    `query` is the query in words. `vector` has the shape (dimensions,), int8: only its direction
    matters.
    """

    search: UUID
    collection_id: int
    index_id: int
    fingerprint: str
    query: str
    text: str | None
    vector: Vectors | None
    image_ids: Sequence[int]


@dataclass(frozen=True)
class FeedbackTokens:
    """Writes and reads tokens that are valid for `seconds`."""

    signer: Signer
    seconds: int

    def write(self, index: VectorIndex, query: Query, image_ids: Sequence[int]) -> str:
        """The token of a response to `query` with these hits."""
        claims: dict[str, Any] = {
            "format": TOKEN_FORMAT,
            "search": uuid4().hex,
            "collection": index.collection_id,
            "index": index.id,
            "fingerprint": index.fingerprint,
            "hits": list(image_ids),
        }
        text = query.text
        if text is not None and (len(text) <= MAX_TEXT_CHARACTERS or not query.original.size):
            claims["text"] = text
        else:
            claims["query"] = query.label[:MAX_TEXT_CHARACTERS]
            claims["vector"] = base64.b64encode(quantise(query.original).tobytes()).decode()
        return self.signer.sign(AUDIENCE, claims, self.seconds)

    def read(self, token: str) -> ShownAnswer:
        """Read a token. Raises TokenRejected."""
        try:
            claims = self.signer.read(AUDIENCE, token)
        except TokenRejected as error:
            raise TokenRejected(
                f"token: it was not issued by this service, was altered, or has expired ({error}). "
                "Search again and send the token of that answer."
            ) from None
        if claims["format"] != TOKEN_FORMAT:
            raise TokenRejected(
                "It was issued by an older version. Search again and rate that answer."
            )
        text, vector = claims.get("text"), claims.get("vector")
        return ShownAnswer(
            UUID(claims["search"]),
            claims["collection"],
            claims["index"],
            claims["fingerprint"],
            claims["query"] if text is None else text,
            text,
            None if vector is None else np.frombuffer(base64.b64decode(vector), np.int8),
            claims["hits"],
        )


def quantise(vector: Vectors) -> Any:
    """The vector's direction in int8, shape (dimensions,); cosine to the original > 0.999."""
    return np.round(vector / np.abs(vector).max() * INT8_MAX).astype(np.int8)
