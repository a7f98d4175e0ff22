"""Captions by a server on this machine that speaks chat completions over real HTTP."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from PIL import Image

from app.errors import AnnotatorUnavailable, ImageTooLarge, ModelUnavailable, UrlUnreadable
from app.sources.checked_connections import Connector
from app.understanding.captions import caption_endpoint
from app.understanding.captions.caption_endpoint import CaptionEndpoint

HERE = Connector((ip_network("127.0.0.0/8"),))


class Chat(ThreadingHTTPServer):
    """Answers every request with `status` and `answer`; `asked` are the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.answer = 200, said("a wide red field")
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    def endpoint(self, key: str | None = None, connector: Connector = HERE) -> CaptionEndpoint:
        return CaptionEndpoint(f"http://127.0.0.1:{self.server_port}/v1/", "little", key, connector)


class _Handler(BaseHTTPRequestHandler):
    server: Chat

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def said(content: object) -> bytes:
    return json.dumps(
        {"choices": [{"message": {"role": "assistant", "content": content}}]}
    ).encode()


@pytest.fixture
def chat() -> Iterator[Chat]:
    server = Chat()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def red(size: tuple[int, int] = (1600, 40)) -> Image.Image:
    return Image.new("RGB", size, (250, 0, 0))


def test_a_picture_is_sent_reduced_and_described(chat: Chat) -> None:
    chat.answer = said(" a wide\n red field ")
    (caption,) = chat.endpoint("sk-1").describe([red()])
    assert (caption.text, caption.confidence) == ("a wide red field", None)
    ((path, headers, question),) = chat.asked
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer sk-1")
    assert question["model"] == "little"
    text, picture = question["messages"][0]["content"]
    assert (text["type"], picture["type"]) == ("text", "image_url")
    kind, _, data = picture["image_url"]["url"].partition(";base64,")
    sent = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, sent.format, sent.size) == ("data:image/jpeg", "JPEG", (768, 19))


def test_no_key_is_sent_where_there_is_none(chat: Chat) -> None:
    chat.endpoint().describe([red()])
    assert "Authorization" not in chat.asked[0][1]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, ModelUnavailable),
        (503, ModelUnavailable),
        (400, UrlUnreadable),
        (401, AnnotatorUnavailable),
        (404, AnnotatorUnavailable),
        (302, AnnotatorUnavailable),
    ],
)
def test_a_refusal_is_of_this_picture_of_all_or_for_now(
    chat: Chat, status: int, error: type[Exception]
) -> None:
    chat.status = status
    chat.answer = json.dumps({"error": {"message": "no such\nmodel."}}).encode()
    with pytest.raises(error, match=rf"status {status}: no such model\."):
        chat.endpoint().describe([red()])
    assert len(chat.asked) == 1  # a redirect is not followed


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"choices": []}', said(None), said([{"text": "a"}]), b"\xff" * 9]
)
def test_an_answer_of_another_kind_fails_the_picture(chat: Chat, answer: bytes) -> None:
    chat.answer = answer
    with pytest.raises(UrlUnreadable, match=r"127\.0\.0\.1"):
        chat.endpoint().describe([red()])


def test_an_answer_without_end_is_cut_off(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_endpoint, "MAX_ANSWER_BYTES", 10_000)
    chat.answer = said("a" * 20_000)
    with pytest.raises(ImageTooLarge):
        chat.endpoint().describe([red()])


def test_a_server_in_a_network_that_is_not_allowed_is_never_asked(chat: Chat) -> None:
    with pytest.raises(AnnotatorUnavailable, match="IMAGE_SEARCH_DOWNLOAD_ALLOW"):
        chat.endpoint(connector=Connector()).describe([red()])
    assert chat.asked == []
    with pytest.raises(AnnotatorUnavailable, match="IMAGE_SEARCH_CAPTION_URL"):
        CaptionEndpoint("file:///etc/passwd", "little", None, HERE).version()


def test_a_server_that_is_away_lets_the_job_wait(chat: Chat) -> None:
    away = CaptionEndpoint("http://127.0.0.1:9/v1", "little", None, HERE)
    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        away.describe([red()])


def test_another_model_or_server_makes_captions_stale(chat: Chat) -> None:
    here = chat.endpoint().version()
    assert here == f"little at 127.0.0.1, recipe {caption_endpoint.RECIPE}"
    assert CaptionEndpoint("http://example.org/v1", "little", None, HERE).version() != here
