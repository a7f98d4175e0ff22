"""The page: one document in two languages, and the files that it loads.

All of it is read once and held: a version's files never change under its address.
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

from app.web.middleware.guard import Guarded, needs

router = APIRouter(include_in_schema=False, route_class=Guarded)

Language = Literal["en", "zh"]

FOLDER = Path(__file__).with_name("static")
LANGUAGES: tuple[Language, ...] = get_args(Language)
TAGS: dict[Language, str] = {"en": "en", "zh": "zh-Hans"}  # as HTML and Intl call them
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
FOREVER = "public, max-age=31536000, immutable"  # a year in seconds, the most that is believed
ETAG_DIGITS = 32  # of a SHA-256 in hexadecimal
VERSION_DIGITS = 16  # likewise
MAX_RANGES = 20  # of an Accept-Language that are looked at


@dataclass(frozen=True)
class Document:
    """The page in one language; `etag` has its quotes."""

    body: bytes
    etag: str


@dataclass(frozen=True)
class PageFiles:
    """All that is delivered: the documents, and the files of this version by name."""

    version: str
    documents: Mapping[Language, Document]
    files: Mapping[str, bytes]


@lru_cache(maxsize=1)
def site() -> PageFiles:
    """The site as it lies in FOLDER. Raises KeyError where a text is missing."""
    files = {
        path.name: path.read_bytes()
        for path in sorted(FOLDER.iterdir())
        if path.suffix in MEDIA_TYPES
    }
    version = _digest(*(part for name, data in files.items() for part in (name.encode(), data)))
    base = f"/static/{version[:VERSION_DIGITS]}"
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
    """All texts of the page by their keys."""
    texts: dict[str, str] = json.loads((FOLDER / "texts" / f"{language}.json").read_text("utf-8"))
    return texts


def _json_in_html(value: object) -> str:
    """JSON that ends no element, whatever is in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _digest(*parts: bytes) -> str:
    """Of the parts and of where each ends."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def chosen_language(cookie: str | None, accepted: str | None) -> Language:
    """The one that was chosen by the switch, else the one that the browser likes best."""
    for language in LANGUAGES:
        if cookie == language:
            return language
    liked = _qualities(accepted or "")
    anything = liked.get("*", 0.0)
    named = [language for tag in liked for language in LANGUAGES if tag == language and liked[tag]]
    order = [*named, *LANGUAGES]  # of equals the first named in the header, else English
    return max(order, key=lambda language: liked.get(language, anything))


def _qualities(accepted: str) -> dict[str, float]:
    """How much each language of an Accept-Language is liked, whatever its region."""
    liked: dict[str, float] = {}
    for one in accepted.split(",", MAX_RANGES)[:MAX_RANGES]:
        tag, *parameters = (part.strip().lower() for part in one.split(";"))
        primary = tag.partition("-")[0]
        liked[primary] = max(liked.get(primary, 0.0), _quality(parameters))
    return liked


def _quality(parameters: list[str]) -> float:
    """From 0 to 1; what is no such number counts as 0: that range is not understood."""
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
async def page(  # not on a thread: it answers while all of them are busy
    language: Annotated[str | None, Cookie()] = None,
    accept_language: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The page in the reader's language; it needs no key, what it asks for may."""
    chosen = chosen_language(language, accept_language)
    document = site().documents[chosen]
    headers = {
        "Cache-Control": "no-cache",
        "Content-Language": TAGS[chosen],
        "Content-Security-Policy": POLICY,
        "ETag": document.etag,
        "Vary": "Accept-Language, Cookie",
    }
    if _is_known(document.etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(document.body, headers=headers, media_type="text/html")


@router.api_route("/static/{version}/{name}", methods=["GET", "HEAD"], summary="A file of it")
@needs(None)
async def static(version: str, name: str) -> Response:
    """A file of this version of the page. Raises HTTPException for any other."""
    found = site().files.get(name) if version == site().version else None
    if found is None:
        raise HTTPException(404, "There is no such file of the page: load the page again.")
    headers = {"Cache-Control": FOREVER}
    return Response(found, headers=headers, media_type=MEDIA_TYPES[Path(name).suffix])


def _is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the browser has it; weak tags match, as RFC 9110 has it for GET."""
    tags = [tag.strip() for tag in (if_none_match or "").split(",")]
    return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)
