"""Requests to the running server in the name of whoever calls a tool of MCP.

Imported only where the extra mcp is installed.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from app.access.authentication import is_loopback
from app.web.middleware.local_only import PROXY_HEADERS
from scripts import server_requests

TIMEOUT_SECONDS = 60  # for one request
PASSED_ON = ("authorization", "x-api-key", *PROXY_HEADERS)
"""What the server must know of a caller by HTTP: the key, and whether a proxy is between."""


@dataclass(frozen=True)
class Caller:
    """Sends requests to the server at the URL `address`.

    `is_local`: by stdio, for the user of this process, with the API key in the variable KEY.
    Otherwise each request has the key that came with the call, and no other.
    """

    address: str
    is_local: bool

    def ask(self, ctx: Context, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON of a GET below /api/v1, or of a POST of the body. Raises ToolError."""
        request = server_requests.request(f"{self.address}/api/v1{path}", body)
        with self._told():
            return server_requests.ask(self._signed(ctx, request), TIMEOUT_SECONDS)

    def receive(self, ctx: Context, path: str) -> bytes:
        """The body of a GET likewise."""
        request = server_requests.request(f"{self.address}/api/v1{path}")
        with self._told():
            return server_requests.receive(self._signed(ctx, request), TIMEOUT_SECONDS)

    def upload(
        self, ctx: Context, path: str, file: tuple[str, bytes], fields: Mapping[str, str]
    ) -> Any:
        """The JSON of a POST of one file, its name and bytes, as a form. Raises ToolError."""
        request = server_requests.upload_request(f"{self.address}{path}", *file, fields)
        with self._told():
            return server_requests.ask(self._signed(ctx, request), TIMEOUT_SECONDS)

    def _signed(self, ctx: Context, request: Request) -> Request:
        """The request with the rights of the caller.

        One from another machine is marked so, since a server without keys answers this one only.
        """
        if self.is_local:
            return request
        request.remove_header("Authorization")  # of this process
        sent = ctx.headers or {}
        for name in PASSED_ON:
            if name in sent:
                request.add_header(name, sent[name])
        client = getattr(ctx.request_context.request, "client", None)
        host = client.host if client else "unknown"
        if not is_loopback(host):
            request.add_header("X-Forwarded-For", host)
        return request

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the server as errors of the tool, whose text the agent reads."""
        try:
            yield
        except HTTPError as error:
            raise ToolError(self._refusal(error)) from error
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ToolError(f"No server answers at {self.address} ({reason}).") from error
        except ValueError as error:
            raise ToolError(self._another) from error

    def _refusal(self, error: HTTPError) -> str:
        with error:
            try:
                return f"{error.code}: {json.load(error)['detail']}"
            except (ValueError, LookupError, TypeError):
                return self._another

    @property
    def _another(self) -> str:
        return f"What answers at {self.address} is another program."
