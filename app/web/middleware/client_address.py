"""The address that a request comes from, as limits count it."""

from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

from starlette.types import Scope

CACHED_ADDRESSES = 4_096  # parsing one takes a twentieth of a short request's time
IPV6_PREFIX_BITS = 64  # the smallest network that a customer is given


def client_address(scope: Scope) -> str:
    """An IPv4 address, the /64 network of an IPv6 address, or what the server says instead."""
    client = scope.get("client")
    return "unknown" if client is None else _normalized(str(client[0]))


@lru_cache(maxsize=CACHED_ADDRESSES)
def _normalized(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # a test client, a Unix socket
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, IPV6_PREFIX_BITS), strict=False))
