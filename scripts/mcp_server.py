"""A server of MCP for agents, in front of a running server: `picture-search mcp`, docs/agents.md.

The library is imported where it is needed: it is an extra, and other commands start without it.
"""

import os
import signal
import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from app.access.authentication import is_loopback
from app.settings import Settings
from scripts.command_line import sentences

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PATH = "/mcp"
MAX_CONNECTIONS = 200  # further ones get 503
GOODBYE_SECONDS = 5  # that calls under way may take at the end
MISSING = "The extra mcp is not installed: pip install 'picture-search[mcp]'."

Address = tuple[str, int]


def main(
    url: Annotated[
        str | None, typer.Option(help="the server's URL; by default this machine's")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="let agents add pictures")] = False,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="serve HTTP there instead of stdio")
    ] = None,
    host_names: Annotated[
        list[str] | None,
        typer.Option("--host-name", help="with --http: a name by which callers reach this"),
    ] = None,
) -> None:
    """Let agents search, look at and label pictures by MCP, on a server that runs.

    By stdio the API key is that of the variable KEY; by HTTP each caller sends its own.
    """
    if find_spec("mcp") is None:
        sys.exit(MISSING)
    with sentences("Not served"):
        address = _server_url(url) if url else Settings.load().address
        where = _host_and_port(http) if http else None
        allowed = _allowed(where, host_names or []) if where else ()
        from scripts.mcp_caller import Caller
        from scripts.mcp_tools import LocalTools, Tools, server_of

        caller = Caller(address, is_local=where is None)
        tools = Tools(caller) if where else LocalTools(caller)
        server = server_of(tools, may_write=write)
        if where:
            _serve(server, where, allowed)
        else:
            # Nothing is open that must be closed, and asyncio would wait for the thread that reads
            # standard input.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda number, frame: os._exit(128 + number))
            server.run("stdio")


def _server_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("this begins with http:// or https://.", param_hint="'--url'")
    return url.rstrip("/")


def _host_and_port(text: str) -> Address:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise typer.BadParameter("write HOST:PORT, as 127.0.0.1:8001.", param_hint="'--http'")
    return host.strip("[]"), int(port)


def _allowed(where: Address, names: list[str]) -> tuple[str, ...]:
    """The names in Host headers that are answered: others are of a page that rebinds its name."""
    if is_loopback(where[0]):
        return (*LOOPBACK, *names)
    if not names:
        raise typer.BadParameter(
            f"{where[0]} can be reached from other machines: give the name that they use, as in "
            "--host-name pictures.example.org.",
            param_hint="'--http'",
        )
    return tuple(names)


def _serve(server: "MCPServer", where: Address, allowed: tuple[str, ...]) -> None:
    """Serve streamable HTTP until a signal ends it. Raises OSError where nothing can listen."""
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    host, port = where
    security = TransportSecuritySettings(
        allowed_hosts=[one for name in allowed for one in (name, f"{name}:*")],
        allowed_origins=[f"http://{name}:*" for name in allowed if name in LOOPBACK],
    )
    # Without sessions each request is judged by the key that it has itself.
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        json_response=True,
        transport_security=security,
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        shown = f"[{host}]" if ":" in host else host
        print(f"Ready: http://{shown}:{listener.getsockname()[1]}{PATH}", file=sys.stderr)
        uvicorn.Server(config).run(sockets=[listener])
