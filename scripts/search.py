"""Search by words or by a picture: `picture-search search`, `picture-search similar`."""

import base64
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import typer

from app.catalog.collections import DEFAULT_NAME, DEFAULT_NAMESPACE
from app.errors import ImageSearchError
from app.runtime.assembly import open_services
from app.runtime.services import Services
from app.search.queries.query_terms import MAX_QUERY_CHARACTERS
from app.search.search_request import MAX_LIMIT
from app.settings import Settings
from app.web.addresses import PictureAddresses
from app.web.payloads.search.answer import References, SearchResponse
from app.web.payloads.search.request import SearchRequest
from scripts import server_requests, terminal_pictures
from scripts.command_line import open_settings, sentences

TIMEOUT_SECONDS = 60
THUMBNAIL_SIDE = 256  # pixels, of those in a terminal
Limit = Annotated[int, typer.Option(min=1, max=MAX_LIMIT, help="how many pictures")]
InCollection = Annotated[str, typer.Option(help="whose pictures")]
AsJson = Annotated[bool, typer.Option("--json", help="print the whole answer as JSON")]


def search(
    words: Annotated[str, typer.Argument(help="what the picture shows")],
    limit: Limit = 10,
    collection: InCollection = DEFAULT_NAME,
    as_json: AsJson = False,
) -> None:
    """Search by words, on the running server, or in this process if there is none."""
    if len(words) > MAX_QUERY_CHARACTERS:
        raise typer.BadParameter(f"more than {MAX_QUERY_CHARACTERS:,} characters.")
    answer = _tell({"query": words, "limit": limit, "collection": collection}, as_json)
    if remark := remark_on(answer):
        print(remark, file=sys.stderr)


def similar(
    picture: Annotated[str, typer.Argument(help="a picture's id, or the path of a file")],
    limit: Limit = 10,
    collection: InCollection = DEFAULT_NAME,
    as_json: AsJson = False,
) -> None:
    """Find the pictures most like one, which is left out if it is named by its id."""
    if picture.isdecimal():
        _tell({"limit": limit}, as_json, int(picture))
        return
    with sentences("Not searched"):
        sent = base64.b64encode(Path(picture).expanduser().read_bytes()).decode()
    body = {"query": [{"image": sent}], "limit": limit, "collection": collection}
    _tell(body, as_json)


def remark_on(answer: dict[str, Any]) -> str | None:
    """What is to be known of an answer's hits, or of there being none."""
    if not answer["hits"]:
        return "Nothing is found: there is no picture here that can be searched yet."
    if answer["no_match"]:
        return "Nothing matches well: these are only the nearest pictures."
    return None


def _tell(body: dict[str, Any], as_json: bool, image_id: int | None = None) -> dict[str, Any]:
    """Search and print what is found; with `image_id`, the pictures like that one."""
    with_pictures = not as_json and terminal_pictures.can_be_shown()
    answer, pictures = _answer(body, image_id, with_pictures)
    lines = map(_line, answer["hits"])
    if as_json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif with_pictures:
        terminal_pictures.show(zip(pictures, lines, strict=True))
    else:
        for line in lines:
            print(line)
    return answer


def _answer(
    body: dict[str, Any], image_id: int | None, with_pictures: bool
) -> tuple[dict[str, Any], list[bytes | None]]:
    """What a search answers, and the thumbnails of the hits if they are wanted."""
    with sentences("Not searched"):
        address = Settings.load().address
    if server_requests.is_serving(address):
        with server_requests.sentences(address):
            answer = _asked(address, body, image_id)
            hits = answer["hits"] if with_pictures else []
            return answer, [_asked_thumbnail(address, hit) for hit in hits]
    print(f"No server answers at {address}: this process searches.", file=sys.stderr)
    with sentences("Not searched"), open_services(open_settings()) as services:
        answer = _found(services, body, image_id)
        hits = answer["hits"] if with_pictures else []
        return answer, [_thumbnail(services, hit) for hit in hits]


def _asked(address: str, body: dict[str, Any], image_id: int | None) -> dict[str, Any]:
    api = f"{address}/api/v1"
    request = (
        server_requests.request(f"{api}/search", body)
        if image_id is None
        else server_requests.request(f"{api}/images/{image_id}/similar?{urlencode(body)}")
    )
    answer: dict[str, Any] = server_requests.ask(request, TIMEOUT_SECONDS)
    return answer


def _asked_thumbnail(address: str, hit: Mapping[str, Any]) -> bytes | None:
    """None where the server cannot make it now: the file is gone, or its disk."""
    asked = urlencode({"size": THUMBNAIL_SIDE, "page": hit.get("page") or 1})
    url = f"{address}/api/v1/images/{hit['id']}/thumbnail?{asked}"
    try:
        return server_requests.receive(server_requests.request(url), TIMEOUT_SECONDS)
    except HTTPError:
        return None


def _thumbnail(services: Services, hit: Mapping[str, Any]) -> bytes | None:
    """The same in this process."""
    with suppress(ImageSearchError):
        return services.gallery.thumbnail(hit["id"], THUMBNAIL_SIDE, hit.get("page") or 1).data
    return None


def _found(services: Services, body: dict[str, Any], image_id: int | None) -> dict[str, Any]:
    if image_id is not None:
        body = {**body, "query": [{"id": image_id}]}
        opened = services.registry.open_id(services.gallery.get(image_id).collection_id)
    else:
        opened = services.registry.open(DEFAULT_NAMESPACE, body["collection"])
    request = SearchRequest.model_validate(body).to_domain(opened.collection.namespace)
    known = opened.collection
    request = replace(request, collection=known.name, exclude_id=image_id)
    answer = opened.search.answer(known, request)
    references = References(services.cursors, services.tokens, PictureAddresses())
    told = SearchResponse.of(opened, answer, references)
    return told.model_dump(mode="json", exclude_unset=True)


def _line(hit: Mapping[str, Any]) -> str:
    sure = "    " if hit["confidence"] is None else f"{hit['confidence']:.2f}"
    name = hit["path"] or hit["original_filename"] or ""
    return f"{hit['score']:.3f}  {sure}  {hit['id']:>8}  {name}"
