"""Is a request of this machine's own? An open service answers no others.

Without keys whoever reaches the service may do all, and browsers reach loopback for any page that
they show: by a form of another origin, or under a foreign name that is made to lead here (DNS
rebinding). Proxies reach it for the whole network.
"""

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.errors import RoleRejected

PROXIED = ("forwarded", "x-forwarded-for", "x-real-ip")
HOW = "Without an API key only this machine may ask: `make create-key` opens the service to others."


def check_is_local(headers: Headers, origins: Collection[str]) -> None:
    """Raises RoleRejected where a page of another origin asks, or another machine.

    `origins` are those whose pages may.
    """
    if any(name in headers for name in PROXIED):
        raise RoleRejected(f"This came through a proxy. {HOW}")
    host = headers.get("host", "")
    if not _is_loopback(host):
        raise RoleRejected(f"This was sent to the host {host[:100]!r}. {HOW}")
    origin = headers.get("origin")
    if origin is not None and origin not in origins and origin.partition("://")[2] != host:
        raise RoleRejected(f"A page of {origin[:100]!r} asks, which CORS_ORIGINS does not name.")


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: always this machine
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
