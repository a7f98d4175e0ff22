"""Cursors: the place where the next page begins, as a signed text that a client hands back."""

import base64
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.access.signed_tokens import Signer
from app.errors import CursorRejected, TokenRejected
from app.index.paged_scans import Scan
from app.search.query_encoding import Query
from app.search.search_request import Page, SearchRequest
from app.vectors import Vectors

AUDIENCE = "cursor"
VALID_SECONDS = 24 * 3600
FORMAT = 2  # to be raised where older cursors would lead elsewhere


@dataclass(frozen=True)
class Cursors:
    """Writes and reads them."""

    signer: Signer

    def write(self, page: Page) -> str:
        """The cursor of a page: all that its answer needs, the vector too."""
        claims: dict[str, Any] = {
            "format": FORMAT,
            "question": page.question.as_json(),
            "digest": page.digest,
            "index": page.index_id,
            "scan": asdict(page.scan) if page.scan else None,
            "offset": page.offset,
            "after": page.after,
            "no_match": page.no_match,
        }
        if query := page.query:
            claims["vector"] = _packed(query.vector)
            if query.plain is not query.vector:
                claims["plain"] = _packed(query.plain)
            claims["words"] = "" if page.question.mode == "vector" else query.words
            claims["picture_share"] = query.picture_share
            claims["shown"], claims["is_text"] = query.shown, query.text is not None
        return self.signer.sign(AUDIENCE, claims, VALID_SECONDS)

    def read(self, cursor: str, asked: SearchRequest | None = None) -> Page:
        """The page that it leads to. Raises CursorRejected, also where it is not of `asked`."""
        try:
            claims = self.signer.read(AUDIENCE, cursor)
        except TokenRejected as error:
            raise CursorRejected(
                f"cursor: it is none of this service's, or has expired ({error}). "
                "Ask for the first page again."
            ) from error
        if claims["format"] != FORMAT:
            raise CursorRejected("cursor: it is an older version's. Ask for the first page again.")
        if asked is not None and asked.digest != claims["digest"]:
            raise CursorRejected(
                "cursor: it belongs to another request. Send it with the one that it came from, "
                "or alone where it is part of a body."
            )
        return Page(
            SearchRequest.from_json(claims["question"]),
            claims["digest"],
            claims["index"],
            _query(claims) if "vector" in claims else None,
            Scan(**claims["scan"]) if claims["scan"] else None,
            claims["offset"],
            tuple(claims["after"]) if claims["after"] else None,
            claims["no_match"],
        )


def _query(claims: dict[str, Any]) -> Query:
    vector, shown = _unpacked(claims["vector"]), claims["shown"]
    plain = _unpacked(claims["plain"]) if "plain" in claims else vector
    text = shown if claims["is_text"] else None
    return Query(vector, plain, claims["words"], claims["picture_share"], shown, text)


def _packed(vector: Vectors) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def _unpacked(packed: str) -> Vectors:
    return np.frombuffer(base64.b64decode(packed), "<f4")
