"""The web page: one HTML document in two languages, and the files that it loads.

All are read once and kept in memory. The files' addresses contain the version, so they never
change.
"""

import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Cookie, Header, HTTPException, Response

from app.web.conditional_requests import matches_etag
from app.web.middleware.guard import Guarded, needs

router = APIRouter(include_in_schema=False, route_class=Guarded)

Language = Literal["en", "zh"]

FOLDER = Path(__file__).with_name("static")
LANGUAGES: tuple[Language, ...] = get_args(Language)
TAGS: dict[Language, str] = {"en": "en", "zh": "zh-Hans"}  # BCP 47
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
FOREVER = "public, max-age=31536000, immutable"  # a year in seconds
ETAG_DIGITS = 32  # of a SHA-256 in hexadecimal
VERSION_DIGITS = 16  # likewise
MAX_RANGES = 20  # language ranges of an Accept-Language header; the rest is ignored


@dataclass(frozen=True)
class Document:
    """The page in one language; `etag` includes the quotes."""

    body: bytes
    etag: str


@dataclass(frozen=True)
class PageFiles:
    """The documents by language, and this version's files by name."""

    version: str
    documents: Mapping[Language, Document]
    files: Mapping[str, bytes]


@lru_cache(maxsize=1)
def site() -> PageFiles:
    """The page's files in FOLDER. Raises KeyError if a text is missing."""
    files = {
        path.name: path.read_bytes()
        for path in sorted(FOLDER.iterdir())
        if path.suffix in MEDIA_TYPES
    }
    version = _digest(*(part for name, data in files.items() for part in (name.encode(), data)))
    base = f"static/{version[:VERSION_DIGITS]}"
    documents = {language: _document(language, base) for language in LANGUAGES}
    return PageFiles(version[:VERSION_DIGITS], documents, files)


def _document(language: Language, base: str) -> Document:
    texts = texts_of(language)
    body = Template((FOLDER / "index.html").read_text("utf-8")).substitute(
        {key: html.escape(text) for key, text in texts.items()},
        language=TAGS[language],
        base=base,
        texts=_json_in_html(texts),
    )
    data = body.encode()
    return Document(data, f'"{_digest(data)[:ETAG_DIGITS]}"')


def texts_of(language: Language) -> dict[str, str]:
    """The page's texts by key."""
    texts: dict[str, str] = json.loads((FOLDER / "texts" / f"{language}.json").read_text("utf-8"))
    return texts


def _json_in_html(value: object) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _digest(*parts: bytes) -> str:
    """SHA-256 of the parts, each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def chosen_language(cookie: str | None, accepted: str | None) -> Language:
    """The language chosen on the page, else the one that the browser prefers."""
    for language in LANGUAGES:
        if cookie == language:
            return language
    quality = _qualities(accepted or "")
    default = quality.get("*", 0.0)
    named = [tag for tag in LANGUAGES if quality.get(tag)]
    named.sort(key=list(quality).index)
    order = [*named, *LANGUAGES]  # among equals the first in the header, else English
    return max(order, key=lambda language: quality.get(language, default))


def _qualities(accepted: str) -> dict[str, float]:
    """The quality value of each primary language of an Accept-Language header."""
    qualities: dict[str, float] = {}
    for one in accepted.split(",", MAX_RANGES)[:MAX_RANGES]:
        tag, *parameters = (part.strip().lower() for part in one.split(";"))
        primary = tag.partition("-")[0]
        qualities[primary] = max(qualities.get(primary, 0.0), _quality(parameters))
    return qualities


def _quality(parameters: list[str]) -> float:
    """The `q` parameter, from 0 to 1; an invalid one counts as 0."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0.0 <= quality <= 1.0 else 0.0
    return 1.0


@router.api_route("/", methods=["GET", "HEAD"], summary="The page")
@needs(None)
async def page(  # async: it answers while all threads are busy
    language: Annotated[str | None, Cookie()] = None,
    accept_language: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The page in the reader's language; needs no key, unlike the calls that it makes."""
    chosen = chosen_language(language, accept_language)
    document = site().documents[chosen]
    headers = {
        "Cache-Control": "no-cache",
        "Content-Language": TAGS[chosen],
        "Content-Security-Policy": POLICY,
        "ETag": document.etag,
        "Vary": "Accept-Language, Cookie",
    }
    if matches_etag(document.etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(document.body, headers=headers, media_type="text/html")


@router.api_route("/static/{version}/{name}", methods=["GET", "HEAD"], summary="A file of it")
@needs(None)
async def static(version: str, name: str) -> Response:
    """A file of this version of the page. Raises HTTPException 404."""
    found = site().files.get(name) if version == site().version else None
    if found is None:
        raise HTTPException(404, "There is no such file of the page: load the page again.")
    headers = {"Cache-Control": FOREVER}
    return Response(found, headers=headers, media_type=MEDIA_TYPES[Path(name).suffix])
