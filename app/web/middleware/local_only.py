"""Restriction of a service without API keys to requests from this machine.

Without keys, everyone who reaches the service may do everything. Listening on loopback is not
enough: web pages make the user's browser send requests there, by cross-origin forms or by DNS
rebinding, and a proxy forwards requests from the whole network.
"""

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.command_names import CREATE_ADMIN_KEY
from app.errors import RoleRejected

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip")
HOW = (
    "This library has no API key yet, so it answers only programs on its own computer: "
    f"`{CREATE_ADMIN_KEY}` there opens it to others."
)


def check_is_local(headers: Headers, origins: Collection[str]) -> None:
    """Raises RoleRejected for requests from other machines, and from pages of other origins.

    `origins` are the other origins that are allowed.
    """
    if any(name in headers for name in PROXY_HEADERS):
        raise RoleRejected(f"The request came through a proxy. {HOW}")
    host = headers.get("host", "")
    if not _is_loopback(host):
        raise RoleRejected(f"The request was sent to the host {host[:100]!r}. {HOW}")
    origin = headers.get("origin")
    if origin is not None and origin not in origins and origin.partition("://")[2] != host:
        raise RoleRejected(
            f"A page of {origin[:100]!r} sent the request, and IMAGE_SEARCH_CORS_ORIGINS does not "
            "list it."
        )


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: always loopback
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
