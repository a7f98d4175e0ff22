"""Search tokens: what was asked and what was shown, as a signed text that comes back with a rating.

A token holds all that a judgement needs, so that searching writes nothing.
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
from app.search.query_encoding import Query
from app.vectors import Vectors

AUDIENCE = "feedback"
FORMAT = 1  # to be raised where older tokens would be misread
MAX_TEXT = 200  # characters of a query: the vector of a longer one is shorter
LEVELS = 127  # of a vector's numbers, either way


@dataclass(frozen=True, eq=False)
class ShownAnswer:
    """An answer as its token knows it: the query by its `text`, or else by its `vector`.

    `query` is what was asked, for people. `vector` has the shape (dimensions,), int8: only its
    direction counts.
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
    """Writes and reads them; each is valid for `seconds`."""

    signer: Signer
    seconds: int

    def write(self, index: VectorIndex, query: Query, image_ids: Sequence[int]) -> str:
        """The token of an answer: of these pictures, to this query."""
        claims: dict[str, Any] = {
            "format": FORMAT,
            "search": uuid4().hex,
            "collection": index.collection_id,
            "index": index.id,
            "fingerprint": index.fingerprint,
            "hits": list(image_ids),
        }
        text = query.text
        if text is not None and (len(text) <= MAX_TEXT or not query.plain.size):
            claims["text"] = text
        else:
            claims["query"] = query.shown[:MAX_TEXT]
            claims["vector"] = base64.b64encode(quantised(query.plain).tobytes()).decode()
        return self.signer.sign(AUDIENCE, claims, self.seconds)

    def read(self, token: str) -> ShownAnswer:
        """What it holds. Raises TokenRejected."""
        claims = self.signer.read(AUDIENCE, token)
        if claims["format"] != FORMAT:
            raise TokenRejected("It is an older version's. Search again and judge that answer.")
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


def quantised(vector: Vectors) -> Any:
    """The vector's direction in int8, shape (dimensions,): cosine above 0.999 to what it was."""
    return np.round(vector / np.abs(vector).max() * LEVELS).astype(np.int8)
