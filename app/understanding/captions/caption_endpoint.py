"""Captions by a server that speaks the vision part of OpenAI's chat completions, as many do.

It may run on this machine or elsewhere. Each picture is sent reduced, as JPEG, in a request of its
own; redirects are not followed, and only networks that URLs may lead to are reached.
"""

import base64
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from socket import socket
from typing import Any, cast

from PIL import Image as Pillow

from app.encoders.captions import Caption
from app.errors import (
    AnnotatorUnavailable,
    ModelUnavailable,
    SourceUnavailable,
    UrlNotAllowed,
    UrlUnreadable,
)
from app.sources.checked_connections import (
    Connector,
    Wire,
    request_head,
    seconds_left,
    translated_errors,
)
from app.sources.url_check import CheckedUrl, checked_url

PATH = "/chat/completions"
PROMPT = "Describe this picture in one plain English sentence of at most 25 words, nothing else."
RECIPE = 1  # bump it when something else is asked, so that pictures are described again
SIDE = 768  # pixels of the pictures that are sent, their longer side
QUALITY = 85  # of their JPEG
MAX_TOKENS = 120  # of an answer
TOTAL_SECONDS = 120.0  # for one picture: a large model on a CPU takes a minute
MAX_ANSWER_BYTES = 1 << 20
BUSY = {408, 425, 429}  # and all from 500 on: the picture is to be sent again later
ABOUT_PICTURE = {400, 413, 415, 422}  # other pictures may be fine
OK = 200


@dataclass(frozen=True)
class CaptionEndpoint:
    """Describes pictures by the server at `url`, whose paths begin there: `http://host:port/v1`.

    `model` is the name that it is asked for; `key` is sent as a bearer token.
    """

    url: str
    model: str
    key: str | None
    connector: Connector
    language: str | None = "english"

    def version(self) -> str:
        """Captions of another server, model or prompt are stale. Raises AnnotatorUnavailable."""
        return f"{self.model} at {self._address().host}, recipe {RECIPE}"

    def describe(self, images: Sequence[Pillow.Image]) -> list[Caption]:
        """A caption for each RGB picture; how sure the server is, it does not say.

        Raises ModelUnavailable where it cannot be reached or is busy, AnnotatorUnavailable where it
        refuses all pictures, UrlUnreadable and ImageTooLarge where its answer is not understood.
        """
        return [Caption(self._caption(image), None) for image in images]

    def close_if_idle(self) -> None:
        """Nothing is kept."""

    def _address(self) -> CheckedUrl:
        try:
            return checked_url(self.url.rstrip("/") + PATH)
        except UrlNotAllowed as error:
            raise AnnotatorUnavailable(f"IMAGE_SEARCH_CAPTION_URL: {error}") from error

    def _caption(self, image: Pillow.Image) -> str:
        address = self._address()
        try:
            with translated_errors(address.host):
                status, body = self._post(address, json.dumps(self._question(image)).encode())
        except SourceUnavailable as error:
            raise ModelUnavailable(f"Captions: {error}") from error
        except UrlNotAllowed as error:
            raise AnnotatorUnavailable(f"IMAGE_SEARCH_CAPTION_URL: {error}") from error
        _check(address.host, status, body)
        return _said(address.host, body)

    def _question(self, image: Pillow.Image) -> dict[str, Any]:
        small, file = image.convert("RGB"), io.BytesIO()
        small.thumbnail((SIDE, SIDE))
        small.save(file, "JPEG", quality=QUALITY)
        picture = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
        content = [
            {"type": "text", "text": PROMPT},
            {"type": "image_url", "image_url": {"url": picture}},
        ]
        messages = [{"role": "user", "content": content}]
        limits = {"max_tokens": MAX_TOKENS, "temperature": 0, "stream": False}
        return {"model": self.model, "messages": messages, **limits}

    def _post(self, address: CheckedUrl, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; raises as `Connector.connect` and http.client do."""
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        headers |= {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        deadline = time.monotonic() + TOTAL_SECONDS
        with self.connector.connect(address, deadline) as sock:
            sock.settimeout(seconds_left(deadline))
            sock.sendall(request_head("POST", address, headers) + body)
            wire = Wire(sock, deadline, MAX_ANSWER_BYTES)
            with HTTPResponse(cast(socket, wire), method="POST") as response:
                response.begin()
                return response.status, response.read()


def _check(host: str, status: int, body: bytes) -> None:
    """Raises as `describe` does, unless there is an answer."""
    told = f"{host} answers with status {status}{_reason(body)}"
    if status == OK:
        return
    if status in BUSY or status >= 500:
        raise ModelUnavailable(f"Captions: {told}")
    if status in ABOUT_PICTURE:
        raise UrlUnreadable(told)
    raise AnnotatorUnavailable(
        f"The annotator caption: {told} Check IMAGE_SEARCH_CAPTION_URL, IMAGE_SEARCH_CAPTION_MODEL "
        "and IMAGE_SEARCH_CAPTION_KEY."
    )


def _reason(body: bytes) -> str:
    """The message of an error in this protocol, shortened; a full stop without one."""
    try:
        told = json.loads(body)["error"]
        message = str(told["message"] if isinstance(told, Mapping) else told)
    except (ValueError, KeyError, TypeError):
        return "."
    return f": {' '.join(message.split())[:200].rstrip('.')}."


def _said(host: str, body: bytes) -> str:
    """The text of an answer, in one line. Raises UrlUnreadable."""
    try:
        said = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UrlUnreadable(f"{host} does not answer with a chat completion.") from error
    if not isinstance(said, str):
        raise UrlUnreadable(f"{host} answers without a text.")
    return " ".join(said.replace("\0", " ").split())
