"""The web page: one HTML document in several languages, and the files that it loads.

A language is a file of texts: `static/texts/de.json` is German. Nothing else names it.

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
from typing import Annotated

from fastapi import APIRouter, Cookie, Header, HTTPException, Request, Response

from app.command_names import CREATE_ADMIN_KEY
from app.web.files.conditional_requests import matches_etag
from app.web.map_tiles import MapTiles
from app.web.middleware.guarded_route import Guarded, needs

router = APIRouter(include_in_schema=False, route_class=Guarded)

FOLDER = Path(__file__).with_name("static")
ENGLISH = "en"  # for readers of none of the languages, and for texts that another one lacks
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
IMAGES = "img-src 'self' blob:"
POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self'; {IMAGES}; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
FOREVER = "public, max-age=31536000, immutable"  # a year in seconds
ETAG_DIGITS = 32  # of a SHA-256 in hexadecimal
VERSION_DIGITS = 16  # likewise
MAX_RANGES = 20  # language ranges of an Accept-Language header; the rest is ignored


Texts = Mapping[str, str | Mapping[str, str]]
"""Texts by key; one with a number in it may have forms, by the plural categories of CLDR."""


@dataclass(frozen=True)
class Document:
    """The page in one language; `tag` is its BCP 47 tag, `etag` includes the quotes."""

    body: bytes
    tag: str
    etag: str


@dataclass(frozen=True)
class PageFiles:
    """The documents by language, English first, and this version's files by name.

    A language is the primary subtag of its BCP 47 tag: zh for zh-Hans.
    """

    version: str
    documents: Mapping[str, Document]
    files: Mapping[str, bytes]


@lru_cache(maxsize=1)
def site() -> PageFiles:
    """The page's files."""
    return read_site(FOLDER)


def read_site(folder: Path) -> PageFiles:
    """The page's files in a folder. Raises KeyError if the document names an unknown text."""
    files = {
        path.name: path.read_bytes()
        for path in sorted(folder.iterdir())
        if path.suffix in MEDIA_TYPES
    }
    version = _digest(*(part for name, data in files.items() for part in (name.encode(), data)))
    base = f"static/{version[:VERSION_DIGITS]}"
    texts = read_texts(folder / "texts")
    whole = {language: {**texts[ENGLISH], **own} for language, own in texts.items()}
    template = Template((folder / "index.html").read_text("utf-8"))
    documents = {one: _document(template, base, one, whole) for one in whole}
    return PageFiles(version[:VERSION_DIGITS], documents, files)


def read_texts(folder: Path) -> dict[str, Texts]:
    """The texts by key, of each language that has a file `<language>.json`; English first.

    Those that say how to make an admin's key name the command.
    """
    paths = sorted(folder.glob("*.json"), key=lambda path: (path.stem != ENGLISH, path.stem))
    written = {path.stem: path.read_text("utf-8") for path in paths}
    return {
        language: json.loads(text.replace("{create_admin_key}", CREATE_ADMIN_KEY))
        for language, text in written.items()
    }


def _document(template: Template, base: str, language: str, texts: Mapping[str, Texts]) -> Document:
    """The page in a language, one of those that there are texts in."""
    own = texts[language]
    body = template.substitute(
        {key: html.escape(text) for key, text in own.items() if isinstance(text, str)},
        language_options=_options(language, texts),
        base=base,
        texts=_json_in_html(own),
    )
    data = body.encode()
    return Document(data, str(own["language"]), f'"{_digest(data)[:ETAG_DIGITS]}"')


def _options(chosen: str, texts: Mapping[str, Texts]) -> str:
    """The languages to choose from, each by its own name."""
    return "".join(
        f'<option value="{html.escape(language)}" lang="{html.escape(str(own["language"]))}"'
        f"{' selected' if language == chosen else ''}>"
        f"{html.escape(str(own['language_name']))}</option>"
        for language, own in texts.items()
    )


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


def chosen_language(cookie: str | None, accepted: str | None) -> str:
    """The language chosen on the page, else the one that the browser prefers."""
    languages = list(site().documents)
    if cookie in languages:
        return cookie
    quality = _qualities(accepted or "")
    default = quality.get("*", 0.0)
    named = [tag for tag in languages if quality.get(tag)]
    named.sort(key=list(quality).index)
    order = [*named, *languages]  # among equals the first in the header, else English
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


def policy(tiles: MapTiles | None) -> str:
    """The Content-Security-Policy of the document: images of the tiles' server, if any."""
    return POLICY.replace(IMAGES, f"{IMAGES} {tiles.origin}") if tiles else POLICY


@router.api_route("/", methods=["GET", "HEAD"], summary="The page")
@needs(None)
async def page(  # async: it answers while all threads are busy
    request: Request,
    language: Annotated[str | None, Cookie()] = None,
    accept_language: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The page in the reader's language; needs no key, unlike the calls that it makes."""
    tiles: MapTiles | None = request.app.state.map_tiles
    chosen = chosen_language(language, accept_language)
    document = site().documents[chosen]
    headers = {
        "Cache-Control": "no-cache",
        "Content-Language": document.tag,
        "Content-Security-Policy": policy(tiles),
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
