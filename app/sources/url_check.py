"""Checks user-supplied URLs against SSRF: their syntax, and the addresses they resolve to."""

import re
import string
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

from app.errors import UrlNotAllowed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 8192  # characters
PORTS = {"http": 80, "https": 443}
AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]{1,253}))(?::([0-9]{0,5}))?")
HOST_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")

LOCAL = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16")
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
METADATA = ("168.63.129.16/32",)  # Azure's looks public; other clouds' are in the rows around
RESERVED = ("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4", "2001::/23")
EXAMPLES = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
BENCHMARKS = ("198.18.0.0/15",)  # IPv6's are in 2001::/23, as is Teredo
SIX_TO_FOUR = ("2002::/16",)
BLOCKED = tuple(
    ip_network(text)
    for text in LOCAL + PRIVATE + METADATA + RESERVED + EXAMPLES + BENCHMARKS + SIX_TO_FOUR
)
GLOBAL_IPV6 = ip_network("2000::/3")  # the rest is local, reserved, multicast or translated
IPV4_LAST = tuple(  # compatible, translated, NAT64, and NAT64 of a site cut as RFC 8215 shows
    ip_network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
ISATAP = 0x00005EFE  # the third 32 bits of an address; one bit of them says global or local
ISATAP_MASK = 0xFDFFFFFF
NOT_ALLOWED = (
    "URL not allowed: it has to be an http or https address on the public internet, or in a "
    "network of IMAGE_SEARCH_DOWNLOAD_ALLOW."
)


@dataclass(frozen=True)
class CheckedUrl:
    """The parts of a URL: `host` in ASCII, `target` as the request line has it."""

    scheme: str
    host: str
    port: int
    target: str


def checked_url(url: str) -> CheckedUrl:
    """Parse the URL. Raises UrlNotAllowed for anything but a plain one.

    Spaces, control characters and backslashes are refused before `urlsplit` drops some of them.
    """
    if len(url) > MAX_URL or not url.isprintable() or " " in url or "\\" in url:
        raise not_allowed()
    try:
        parts = urlsplit(url)
        host, port = _host_and_port(parts.netloc, PORTS[parts.scheme])
    except (KeyError, ValueError):
        raise not_allowed() from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return CheckedUrl(parts.scheme, host, port, quote(target, safe=string.punctuation))


def _host_and_port(authority: str, default_port: int) -> tuple[str, int]:
    """Raises ValueError unless it is a plain host with an optional port."""
    match = AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError(authority)
    literal, name, digits = match.groups()
    host = str(IPv6Address(literal)) if literal else _ascii_name(name)
    port = int(digits or default_port)
    if not 0 < port < 1 << 16:
        raise ValueError(authority)
    return host, port


def _ascii_name(name: str) -> str:
    """IDNA, which turns １２７ into 127. Raises ValueError for credentials, escapes and so on."""
    host = name.encode("idna").decode().lower().removesuffix(".")
    if not HOST_NAME.fullmatch(host):
        raise ValueError(name)
    return host


def checked_address(text: str, allow: tuple[Network, ...] = ()) -> Address:
    """The address to connect to; an IPv4-mapped one is returned as IPv4.

    Raises UrlNotAllowed unless it, and any IPv4 address inside it, is public or in `allow`.
    """
    try:
        address = ip_address("scoped" if "%" in text else text)  # a scope: our own interface
    except ValueError:
        raise not_allowed() from None
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if not all(_is_open(each, allow) for each in (address, *_ipv4_inside(address))):
        raise not_allowed()
    return address


def _is_open(address: Address, allow: tuple[Network, ...]) -> bool:
    if any(address in network for network in allow):
        return True
    unicast = address.version == 4 or address in GLOBAL_IPV6
    return unicast and not any(address in network for network in BLOCKED)


def _ipv4_inside(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a tunnel or translator would forward an IPv6 address to."""
    if isinstance(address, IPv4Address) or int(address) <= 1:  # ::1 and :: are no IPv4-compatible
        return ()
    if address.teredo:
        return address.teredo
    if address.sixtofour:
        return (address.sixtofour,)
    isatap = int(address) >> 32 & ISATAP_MASK == ISATAP
    if isatap or any(address in network for network in IPV4_LAST):
        return (IPv4Address(address.packed[-4:]),)
    return ()


def not_allowed() -> UrlNotAllowed:
    """The same message whatever is wrong, so that it reveals nothing."""
    return UrlNotAllowed(NOT_ALLOWED)
