"""Cursors: where the next page begins, as a signed token that the client sends back."""

import base64
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.access.signed_tokens import Signer
from app.errors import CursorRejected, TokenRejected
from app.index.scan_plans import Scan
from app.search.caption_search import CaptionQuery
from app.search.queries.query_encoding import Query
from app.search.search_request import Page, SearchRequest
from app.vectors import Vectors

AUDIENCE = "cursor"
VALID_SECONDS = 24 * 3600
CURSOR_FORMAT = 4  # to be raised where an older cursor would be misread


@dataclass(frozen=True)
class Cursors:
    """Writes and reads cursors."""

    signer: Signer

    def write(self, page: Page) -> str:
        """The cursor of a page: everything needed to answer it, including the query vector."""
        claims: dict[str, Any] = {
            "format": CURSOR_FORMAT,
            "request": page.request.as_json(),
            "digest": page.digest,
            "index": page.index_id,
            "scan": asdict(page.scan) if page.scan else None,
            "offset": page.offset,
            "after": page.after,
            "no_match": page.no_match,
        }
        if query := page.query:
            claims["vector"] = _encode_vector(query.vector)
            if query.original is not query.vector:
                claims["original"] = _encode_vector(query.original)
            claims["words"] = "" if page.request.mode == "vector" else query.words
            claims["picture_share"] = query.picture_share
            if query.captions is not None:
                told = asdict(query.captions)
                claims["captions"] = {**told, "vector": _encode_vector(query.captions.vector)}
            claims["label"], claims["is_text"] = query.label, query.text is not None
        return self.signer.sign(AUDIENCE, claims, VALID_SECONDS)

    def read(self, cursor: str, request: SearchRequest | None = None) -> Page:
        """The page that a cursor stands for.

        Raises CursorRejected, also if `request` is given and the cursor belongs to another one.
        """
        try:
            claims = self.signer.read(AUDIENCE, cursor)
        except TokenRejected as error:
            raise CursorRejected(
                f"cursor: it was not issued by this service, or has expired ({error}). "
                "Ask for the first page again."
            ) from error
        if claims["format"] != CURSOR_FORMAT:
            raise CursorRejected(
                "cursor: it was issued by an older version. Ask for the first page again."
            )
        if request is not None and request.digest != claims["digest"]:
            raise CursorRejected(
                "cursor: it belongs to another request. Send it with the same parameters as the "
                "page before; POST /api/v1/search takes it alone too."
            )
        return Page(
            SearchRequest.from_json(claims["request"]),
            claims["digest"],
            claims["index"],
            _query(claims) if "vector" in claims else None,
            Scan(**claims["scan"]) if claims["scan"] else None,
            claims["offset"],
            tuple(claims["after"]) if claims["after"] else None,
            claims["no_match"],
        )


def _query(claims: dict[str, Any]) -> Query:
    vector, label = _decode_vector(claims["vector"]), claims["label"]
    original = _decode_vector(claims["original"]) if "original" in claims else vector
    text = label if claims["is_text"] else None
    captions = None
    if told := claims.get("captions"):  # cursors of before there were sentence models have none
        captions = CaptionQuery(**{**told, "vector": _decode_vector(told["vector"])})
    return Query(
        vector,
        original,
        claims["words"],
        claims["picture_share"],
        label,
        text,
        captions=captions,
    )


def _encode_vector(vector: Vectors) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def _decode_vector(packed: str) -> Vectors:
    return np.frombuffer(base64.b64decode(packed), "<f4")
