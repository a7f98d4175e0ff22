"""Agents use a running server by MCP, over both transports, with the library's own client."""

import asyncio
import base64
import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import httpx2
import psutil
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ImageContent, TextContent
from PIL import Image

from app.access import api_keys
from app.access.authentication import is_loopback
from app.settings import ROOT
from scripts import mcp_server
from scripts.command_line import application_of, exit_status
from scripts.mcp_caller import Caller
from scripts.mcp_tools import LocalTools, server_of
from tests.browser.serving import Service, serving, wait
from tests.conftest import TEST_IMAGES
from tests.fixtures import web_server
from tests.fixtures.drawn_pictures import png
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

COMMAND = (sys.executable, "-m", "picture_search", "mcp")
PICTURES = ("green-tree.jpg", "cat.jpg", "bus.webp", "zebra.jpg", "red-car.png")
PAGE = ROOT / "docs" / "agents.md"
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
READING = {"search", "look", "describe", "labels", "collections"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}  # as a proxy on this machine says it


@pytest.fixture(scope="module")
def opened(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A library without keys."""
    with serving(server_url, "mcp_open", tmp_path_factory.mktemp("open")) as service:
        fill(service)
        yield service


class Locked(NamedTuple):
    """A library that needs keys, and downloads from this machine; with two of its keys."""

    url: str
    reader: str
    writer: str


@pytest.fixture(scope="module")
def locked(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    folder, networks = tmp_path_factory.mktemp("locked"), (ip_network("127.0.0.0/8"),)
    with serving(server_url, "mcp_locked", folder, download_allow=networks) as service:
        with service.services.sessions.begin() as session:
            _, reader = api_keys.create(session, "default", "reader", "reader", None)
            _, writer = api_keys.create(session, "default", "writer", "writer", None)
        service.http.headers["X-API-Key"] = writer
        fill(service)
        yield Locked(service.url, reader, writer)


def fill(service: Service) -> None:
    files = [("file", (one, (TEST_IMAGES / one).read_bytes())) for one in PICTURES]
    service.ask("POST", "/upload", files=files)


@asynccontextmanager
async def by_stdio(url: str, *options: str, **environment: str) -> AsyncIterator[Client]:
    command, *arguments = (*COMMAND, "--url", url, *options)
    started = StdioServerParameters(
        command=command, args=arguments, env=bare(**environment), cwd=str(ROOT)
    )
    async with Client(started, read_timeout_seconds=PROCESS_SECONDS) as client:
        yield client


@asynccontextmanager
async def in_process(url: str, *, may_write: bool = False) -> AsyncIterator[Client]:
    """The tools of stdio without another process, whose start takes seconds."""
    tools = LocalTools(Caller(url, is_local=True))
    async with Client(server_of(tools, may_write=may_write)) as client:
        yield client


@asynccontextmanager
async def by_http(address: str, headers: dict[str, str]) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PROCESS_SECONDS) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        yield client


@contextmanager
def served(url: str, *options: str, host: str = "127.0.0.1", **environment: str) -> Iterator[str]:
    """The address of a process that serves MCP by HTTP on a free port."""
    process = subprocess.Popen(
        [*COMMAND, "--url", url, "--http", f"{host}:0", *options],
        cwd=ROOT, env=bare(**environment), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr
        ready = re.fullmatch(r"Ready: (http://[\d.]+:\d+/mcp)\n", process.stderr.readline())
        assert ready
        yield ready[1]
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=PROCESS_SECONDS)
    assert "Traceback" not in told


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool answers that succeeds."""
    found = await client.call_tool(tool, arguments)
    assert not found.is_error, found.content
    assert found.structured_content is not None
    content: dict[str, Any] = found.structured_content
    return content


async def error(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool says that fails."""
    found = await client.call_tool(tool, arguments)
    assert found.is_error
    (text,) = found.content
    assert isinstance(text, TextContent)
    return text.text.removeprefix(f"Error executing tool {tool}: ")


async def names(client: Client, tool: str = "search", **arguments: Any) -> list[str]:
    return [hit["original_filename"] for hit in (await answer(client, tool, **arguments))["hits"]]


async def picture(client: Client, **arguments: Any) -> Image.Image:
    (shown,) = (await client.call_tool("look", arguments)).content
    assert isinstance(shown, ImageContent)
    assert shown.mime_type == "image/webp"
    return Image.open(io.BytesIO(base64.b64decode(shown.data)))


def test_an_agent_finds_pictures_and_looks_at_them(opened: Service) -> None:
    async def session() -> None:
        async with by_stdio(opened.url) as client:
            tools = (await client.list_tools()).tools
            assert {tool.name for tool in tools} == READING
            assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
            tree, *_ = (await answer(client, "search", words="a green tree"))["hits"]
            assert tree["original_filename"] == "green-tree.jpg"
            assert (await picture(client, picture=tree["id"], size=128)).size == (128, 128)
            known = await answer(client, "describe", picture=tree["id"])
            assert (known["width"], known["texts"]) == (384, [])
            assert not {"url", "thumbnail_url"} & set(known), "they are for people, and signed"
            few = await names(client, filter={"format": "WEBP"})
            assert few == ["bus.webp"]
            others = await names(client, like=tree["id"], limit=4)
            assert len(others) == 4
            assert "green-tree.jpg" not in others
            own = str(TEST_IMAGES / "cat.jpg")
            assert await names(client, file=own, limit=1) == ["cat.jpg"]
            both = await names(client, file=own, words="a red car", limit=2)
            assert set(both) == {"cat.jpg", "red-car.png"}

    asyncio.run(session())


def test_an_agent_reads_labels(opened: Service) -> None:
    labels = {"labels": ["tree", "cat", "bus"], "exclusive": True}
    opened.ask("PUT", "/api/v1/collections/default/label-sets/kind", json=labels)

    async def session() -> None:
        async with in_process(opened.url) as client:
            (cat,) = (await answer(client, "search", words="a cat", limit=1))["hits"]
            chosen = await answer(client, "labels", picture=cat["id"], among=["dog", "cat"])
            assert chosen["labels"][0]["label"] == "cat"
            wait(lambda: opened.ask("GET", f"/api/v1/images/{cat['id']}/labels")["labels"])
            (stored,) = (await answer(client, "labels", picture=cat["id"]))["labels"]
            assert (stored["label"], stored["set"]) == ("cat", "kind")
            (one,) = (await answer(client, "collections"))["collections"]
            assert (one["name"], one["label_sets"]) == ("default", ["kind"])

    asyncio.run(session())


def test_refusals_are_told_in_the_servers_words(opened: Service, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hush")

    async def session() -> None:
        async with in_process(opened.url) as client:
            assert await error(client, "look", picture=99) == "404: There is no picture with id 99."
            told = await error(client, "search", words="a", filter={"nope": 1})
            assert told.startswith('422: filter.nope: there is no field "nope".')
            assert "404: " in await error(client, "search", words="a", collection="none")
            told = await error(client, "search", file=str(text))
            assert told.startswith("415: query[0]: This is not a picture")
            assert "hush" not in told
            gone = str(tmp_path / "gone.jpg")
            assert await error(client, "search", file=gone) == f"{gone}: there is no such file."
            assert "no such file" in await error(client, "search", file="/dev/zero")
            assert (await client.call_tool("add", {"url": "http://127.0.0.1/"})).is_error

    asyncio.run(session())


def test_no_server_and_another_program_are_said(tmp_path: Path) -> None:
    async def session(url: str) -> str:
        async with in_process(url) as client:
            return await error(client, "search", words="a")

    told = asyncio.run(session("http://127.0.0.1:1"))
    assert told.startswith("No server answers at http://127.0.0.1:1 (")
    with web_server.serving() as site:
        url = f"http://127.0.0.1:{site.port}"
        assert asyncio.run(session(url)) == f"What answers at {url} is another program."


def test_an_agent_adds_only_where_it_may(opened: Service, tmp_path: Path) -> None:
    file = tmp_path / "drawn.png"
    file.write_bytes(png(5))

    async def session() -> None:
        async with in_process(opened.url, may_write=True) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == READING | {"add"}
            added = {"file": str(file), "caption": "the pier", "metadata": {"place": "Lisbon"}}
            stored = await answer(client, "add", **added)
            assert stored["status"] == "stored"
            known = await answer(client, "describe", picture=stored["id"])
            assert (known["caption"], known["metadata"]) == ("the pier", {"place": "Lisbon"})
            again = await answer(client, "add", file=str(file))
            assert again == {"id": stored["id"], "status": "duplicate"}
            told = await error(client, "add")
            assert told == "Name either a file or a url."
            told = await error(client, "add", url="http://127.0.0.1:1/a.png")
            assert told.startswith("Not added: URL not allowed")

    asyncio.run(session())


def test_by_http_the_rights_are_those_of_the_callers_key(
    locked: Locked,
) -> None:
    """The key of the process itself is nobody's by HTTP."""

    async def session(address: str, site: web_server.Site) -> None:
        async with by_http(address, {}) as client:
            assert (await error(client, "search", words="a")).startswith("401: This needs a key")
        async with by_http(address, {"Authorization": f"Bearer {locked.reader}"}) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == READING | {"add"}
            for tool in ("search", "add"):
                assert "file" not in tools[tool].input_schema["properties"]
            assert (await names(client, words="a green tree"))[0] == "green-tree.jpg"
            told = await error(client, "add", url=f"http://127.0.0.1:{site.port}/a.png")
            assert told.startswith("403: Your key is for searching")
            stolen = await client.call_tool("search", {"file": __file__, "limit": 1})
            assert stolen.is_error or "test_mcp" not in str(stolen)
        async with by_http(address, {"X-API-Key": locked.writer}) as client:
            sent = {"url": f"http://127.0.0.1:{site.port}/a.png", "caption": "drawn"}
            added = await answer(client, "add", **sent)
            assert added["status"] == "added"
            assert (await answer(client, "describe", picture=added["id"]))["caption"] == "drawn"

    with web_server.serving() as site:
        body = png(6)
        site.answers["/a.png"] = web_server.http(200, "Content-Type: image/png", body=body)
        with served(locked.url, "--write", KEY=locked.writer) as address:
            asyncio.run(session(address, site))


def test_by_stdio_the_key_is_that_of_the_environment(locked: Locked) -> None:
    async def session() -> None:
        async with by_stdio(locked.url, KEY=locked.reader) as client:
            assert (await names(client, words="a green tree"))[0] == "green-tree.jpg"
        async with in_process(locked.url) as client:
            assert (await error(client, "collections")).startswith("401: ")

    asyncio.run(session())


def test_a_library_without_keys_stays_closed_to_other_machines(
    opened: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server sees a request of this machine: it must be told whose it is."""

    async def session(address: str) -> None:
        async with by_http(address, ELSEWHERE) as client:
            told = await error(client, "search", words="a")
            assert told.startswith("403: The request came through a proxy.")
        async with by_http(address, {}) as client:
            assert await names(client, words="a green tree", limit=1) == ["green-tree.jpg"]

    with served(opened.url) as address:
        asyncio.run(session(address))
        exec(compile(EXAMPLE.replace("http://127.0.0.1:8001/mcp", address), str(PAGE), "exec"), {})
        assert "'green-tree.jpg'" in capsys.readouterr().out
        accept = {"Accept": "application/json, text/event-stream"}
        for foreign, status in (
            ({"Host": "evil.example"}, 421),
            ({"Origin": "http://evil.example"}, 403),
        ):
            assert httpx.post(address, json=PING, headers=accept | foreign).status_code == status
        assert httpx.post(address, json=PING, headers=accept).status_code == 200


def test_a_caller_of_another_address_is_no_user_of_this_machine(opened: Service) -> None:
    """No proxy marks it: that it is not by loopback is enough."""
    host = next((one for one in addresses() if not is_loopback(one)), None)
    if host is None:
        pytest.skip("this machine has no address but loopback")

    async def session(address: str) -> None:
        async with by_http(address, {}) as client:
            told = await error(client, "search", words="a")
            assert told.startswith("403: The request came through a proxy.")

    with served(opened.url, "--host-name", host, host=host) as address:
        asyncio.run(session(address))


def addresses() -> list[str]:
    """The IPv4 addresses of this machine."""
    found = [one for each in psutil.net_if_addrs().values() for one in each]
    return [one.address for one in found if one.family == socket.AF_INET]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly_while_it_reads(number: signal.Signals) -> None:
    """At Ctrl-C it waited for the end of its standard input."""
    process = subprocess.Popen(
        [*COMMAND, "--url", "http://127.0.0.1:1"], cwd=ROOT, env=bare(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{json.dumps(PING)}\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["id"] == 1
    process.send_signal(number)
    assert process.wait(PROCESS_SECONDS) == 128 + number
    assert process.communicate() == ("", "")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--http", "8001"], "write HOST:PORT, as 127.0.0.1:8001."),
        (["--http", "127.0.0.1:99999"], "write HOST:PORT, as 127.0.0.1:8001."),
        (["--http", "0.0.0.0:0"], "0.0.0.0 can be reached from other machines: give the name"),
        (["--url", "example.org"], "this begins with http:// or https://."),
        (["--http", "192.0.2.1:1"], "192.0.2.1 can be reached from other machines"),
        (["--http", "192.0.2.1:1", "--host-name", "a.example"], "Not served: Cannot assign"),
    ],
)
def test_what_cannot_be_served_is_a_sentence(
    options: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kept_signals: None,
) -> None:
    monkeypatch.setattr(sys, "argv", ["make mcp", *options])
    assert exit_status(application_of(mcp_server.main)) in {1, 2}
    shown = capfd.readouterr().err
    assert told in shown
    assert len(shown.splitlines()) == 1


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mcp_server, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["picture-search"])
    assert exit_status(application_of(mcp_server.main)) == 1
    assert capfd.readouterr().err == f"{mcp_server.MISSING}\n"


def test_other_commands_do_not_import_the_library() -> None:
    """Nor does any of its own modules that need it."""
    code = (
        "import sys, scripts.commands; print([n for n in sys.modules if n.split('.')[0] == 'mcp'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=bare(), capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
