import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import repeat
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    ImageSearchError,
    ImageTooLarge,
    SourceUnavailable,
    UrlNotAllowed,
    UrlUnreadable,
)
from app.sources.download import Downloader
from app.sources.url_check import NOT_ALLOWED, Network, checked_address
from tests.fixtures.web_server import Site, found, http, self_signed, serving

LOOPBACK = (ip_network("127.0.0.0/8"),)
NAME = "pictures.test"
MAX_BYTES = 1000
TLS = ssl.create_default_context()  # made once: it takes longer than most tests here
SOON = 2.0  # seconds: far under the 20 that a fetch may take

_tried: list[object] = []  # addresses that the thread of the tests has connected to
_thread = threading.get_ident()


def _note_connects(event: str, details: tuple[object, ...]) -> None:
    if event == "socket.connect" and threading.get_ident() == _thread:
        _tried.append(details[1])


sys.addaudithook(_note_connects)


@pytest.fixture
def tried() -> list[object]:
    _tried.clear()
    return _tried


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as opened:
        yield opened


def at(*addresses: str) -> Callable[[str, int], list[str]]:
    return lambda _host, _port: list(addresses)


def no_names(host: str, _port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


def local(**options: object) -> Downloader:
    """One that finds every name on loopback, and may go there."""
    defaults = {"max_bytes": MAX_BYTES, "allow": LOOPBACK, "resolve": at("127.0.0.1"), "tls": TLS}
    return Downloader(**(defaults | options))  # type: ignore[arg-type]


def get(site: Site, answer: bytes | Callable[[BinaryIO], object], **options: object) -> bytes:
    site.answers["/"] = answer
    return local(**options).fetch(f"http://{NAME}:{site.port}/").data


def refused(downloader: Downloader, url: str) -> None:
    with pytest.raises(UrlNotAllowed) as caught:
        downloader.fetch(url)
    assert str(caught.value) == NOT_ALLOWED


# Spellings: refused with every address open, so that nothing but the spelling can be the reason.

HOSTILE_SPELLINGS = [
    "",
    "/etc/passwd",
    "//127.0.0.1:{port}/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/",
    "data:image/png;base64,AAAA",
    "jar:http://127.0.0.1:{port}/!/x",
    "http:",
    "http://",
    "http:///x",
    "http:127.0.0.1:{port}/x",
    "http:/127.0.0.1:{port}/x",
    "http://?x",
    "http://:{port}/",
    "http://./",
    "http://../",
    "http://a..test:{port}/",
    "http://.a.test:{port}/",
    "http://good.test@127.0.0.1:{port}/",
    "http://good.test:80@127.0.0.1:{port}/",
    "http://user:secret@127.0.0.1:{port}/",
    "http://@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@good.test/",
    "http://good.test\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@good.test/",
    "http:\\\\127.0.0.1:{port}/",
    "http://good.test%40127.0.0.1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://127.0.0.1%2f.good.test:{port}/",
    "http://127.0.0.1%00.good.test:{port}/",
    "http://127.0.0.1\0.good.test:{port}/",
    "http://127.0.0.1&@good.test:{port}/",
    "http://a,b:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0X7F.1:{port}/",
    "http://0x7f.0x0.0x0.0x1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.0.0.01:{port}/",
    "http://127.0.0.1..:{port}/",
    "http://0:{port}/",
    "http://256.256.256.256:{port}/",
    "http://127.0.0.1.1:{port}/",
    "http://a.0x7f:{port}/",
    "http://１２７.１:{port}/",
    "http://127.0.0.1 :{port}/",
    "http://127.0.0.1:{port}/a b",
    "http://127.0.0.1:{port}/a\\b",
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/ ",
    "http://127.0.0.1:{port}/\n",
    "ht\ntp://127.0.0.1:{port}/",
    "http://127.0\t.0.1:{port}/",
    "http://127.0.0.1:{port}/\r\nX-Header: 1",
    "http://127.0.0.1:{port}/\u2028",
    "http://127.0.0.1:{port}/\u00a0",
    "http://127.0.0.1:{port}/\ud800",
    "http://127.0.\u200b0.1:{port}/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:99999999999/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:+{port}/",
    "http://127.0.0.1:http/",
    "http://127.0.0.1:８０/",
    "http://127.0.0.1:{port}:{port}/",
    "http://127.0.0.1:{port}x/",
    "http://::1:{port}/",
    "http://[::1/",
    "http://::1]:{port}/",
    "http://[]:{port}/",
    "http://[127.0.0.1]:{port}/",
    "http://[v1.x]:{port}/",
    "http://[::1]good.test:{port}/",
    "http://good.test[::1]:{port}/",
    "http://[fe80::1%25eth0]:{port}/",
    "http://[::ffff:127.0.0.1%eth0]:{port}/",
    "http://[::1%lo]:{port}/",
    "http://goo\u2100d.test:{port}/",
    "http://" + "a" * 64 + ".test:{port}/",
    "http://" + "a." * 127 + "test:{port}/",
    "http://127.0.0.1:{port}/" + "x" * 8192,
]


@pytest.mark.parametrize("url", HOSTILE_SPELLINGS)
def test_a_hostile_spelling_is_refused_wherever_it_leads(
    url: str, site: Site, tried: list[object]
) -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    refused(local(allow=everything, resolve=no_names), url.replace("{port}", str(site.port)))
    assert (tried, site.asked) == ([], [])


# Addresses: odd ways to write them come out as what they are, and that is shut.

HOSTILE_ADDRESSES = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254"),
    *("100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254"),
    *("169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1"),
    *("239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:10.0.0.1"),
    *("::ffff:169.254.169.254", "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1"),
    *("64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::10.0.0.1", "64:ff9b:1:a00:0:100::"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1", "2001::1", "2001:0:7f00:1::"),
    *("2001:0:808:808:0:0:80ff:fffe", "2001:2::1", "2001:20::1", "2001:db8::1", "3fff::1"),
    *("fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fe80::5efe:10.0.0.1", "fec0::1"),
    *("ff02::1", "ff0e::1", "100::1", "5f00::1", "4000::1", "2a00:1:2:3:0:5efe:127.0.0.1"),
    "2a00:1:2:3:200:5efe:10.0.0.1",
]
HOSTILE_HOSTS = [
    *("127.0.0.1.", "127。0。0。1", "127．0｡0.1", "１２７.０.０.１", "①②⑦.⓪.⓪.①", "₁₂₇.₀.₀.₁"),
    *("127.0.0.1", "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "localhost", "LocalHost", "localhost.", "ⓛocalhost"),
]
SHUT_URLS = [
    *(f"http://[{text}]" if ":" in text else f"http://{text}" for text in HOSTILE_ADDRESSES),
    *(f"http://{host}" for host in HOSTILE_HOSTS),
    "HTTP://127.0.0.1",
    "hTTps://127.0.0.1",
]


@pytest.mark.parametrize("url", SHUT_URLS)
def test_a_hostile_address_is_refused(url: str, site: Site, tried: list[object]) -> None:
    refused(Downloader(MAX_BYTES, tls=TLS), f"{url}:{site.port}/")
    assert (tried, site.asked) == ([], [])


@pytest.mark.parametrize("text", [*HOSTILE_ADDRESSES, "fe80::1%eth0", "8.8.8.8%eth0", "x", ""])
@pytest.mark.parametrize("host", [NAME, "bücher.test"])
def test_a_name_that_leads_to_a_hostile_address_is_refused(
    text: str, host: str, tried: list[object]
) -> None:
    for addresses in ([text], ["8.8.8.8", text], [text, "2606:4700::1111"]):
        refused(local(allow=(), resolve=at(*addresses)), f"http://{host}/")
    assert tried == []


@pytest.mark.parametrize(
    "text",
    [
        *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1"),
        *("126.255.255.255", "128.0.0.1", "168.63.129.17", "169.253.255.255", "172.15.255.255"),
        *("172.32.0.1", "192.0.1.1", "192.167.255.255", "198.17.255.255", "198.20.0.1"),
        *("223.255.255.255", "2001:200::1", "2606:4700::1111", "2a00:1450:4001::5efe:1"),
    ],
)
def test_a_public_address_is_open(text: str) -> None:
    assert str(checked_address(text)) == text


def test_a_mapped_address_comes_out_as_the_ipv4_one() -> None:
    assert checked_address("::ffff:8.8.8.8") == IPv4Address("8.8.8.8")
    assert checked_address("::ffff:127.0.0.1", LOOPBACK) == IPv4Address("127.0.0.1")


NAT64 = ip_network("64:ff9b::/96")


@pytest.mark.parametrize(
    ("text", "allow", "opened"),
    [
        ("127.0.0.1", LOOPBACK, True),
        ("128.0.0.1", LOOPBACK, True),
        ("10.0.0.1", LOOPBACK, False),
        ("::1", LOOPBACK, False),
        ("::1", (ip_network("::1/128"),), True),
        ("::2", (ip_network("::/96"),), False),
        ("64:ff9b::8.8.8.8", (NAT64,), True),
        ("64:ff9b::127.0.0.1", (NAT64,), False),
        ("64:ff9b::127.0.0.1", LOOPBACK, False),
        ("64:ff9b::127.0.0.1", (NAT64, *LOOPBACK), True),
        ("2002:808:808::1", (ip_network("2002::/16"),), True),
        ("2002:a00:1::1", (ip_network("2002::/16"),), False),
        ("2001:0:808:808:0:0:f7f7:f7f7", (ip_network("2001::/32"),), True),
        ("2001:0:a00:1:0:0:f7f7:f7f7", (ip_network("2001::/32"),), False),
        ("2001:0:808:808:0:0:f5ff:fffe", (ip_network("2001::/32"),), False),
        ("fe80::1%eth0", (ip_network("fe80::/10"),), False),
        ("fd00::1", (ip_network("fd00::/64"),), True),
        ("fd00:0:0:1::1", (ip_network("fd00::/64"),), False),
    ],
)
def test_allow_opens_its_networks_and_no_more(
    text: str, allow: tuple[Network, ...], opened: bool
) -> None:
    assert is_open(text, allow) is opened


def is_open(text: str, allow: tuple[Network, ...] = ()) -> bool:
    try:
        checked_address(text, allow)
    except UrlNotAllowed:
        return False
    return True


NETWORKS = st.sampled_from(
    ["127.0.0.0/8", "10.0.0.0/8", "::/0", "64:ff9b::/96", "2002::/16", "2001::/32", "::/96"]
)


@given(
    st.ip_addresses(v=4)
    | st.sampled_from([IPv4Address(t) for t in HOSTILE_ADDRESSES if ":" not in t]),
    st.lists(NETWORKS.map(ip_network)).map(tuple),
)
def test_an_ipv4_address_in_disguise_is_no_more_open_than_it_is(
    plain: IPv4Address, allow: tuple[Network, ...]
) -> None:
    number = int(plain)
    disguises = [
        0xFFFF << 32 | number,  # mapped
        *([number] if number > 1 else []),  # compatible; :: and ::1 are something else
        0xFFFF << 48 | number,  # translated
        0x64FF9B << 96 | number,
        0x64FF9B0001 << 80 | number,
        0x2002 << 112 | number << 80 | 1,
        0x2001 << 112 | 0x08080808 << 64 | number ^ 0xFFFFFFFF,  # Teredo's client
        0x2001 << 112 | number << 64 | 0x08080808 ^ 0xFFFFFFFF,  # and its server
        0x2A00 << 112 | 0x5EFE << 32 | number,  # ISATAP
        0x2A00 << 112 | 0x02005EFE << 32 | number,
    ]
    for disguise in disguises:
        assert not is_open(str(IPv6Address(disguise)), allow) or is_open(str(plain), allow)


@given(st.ip_addresses())
def test_what_python_calls_special_is_shut(address: IPv4Address | IPv6Address) -> None:
    special = (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_link_local
        or address.is_loopback
        or address.is_unspecified
    )
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped
    assert not (special and is_open(str(address))) or mapped


# What is connected to.


def test_the_connection_goes_to_the_address_that_was_checked(
    site: Site, tried: list[object]
) -> None:
    asked: list[tuple[str, int]] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    assert get(site, http(200, body=b"first"), resolve=rebinding) == b"first"
    assert asked == [(NAME, site.port)]
    assert tried == [("127.0.0.1", site.port)]


def test_each_hop_is_resolved_and_checked_anew(site: Site, tried: list[object]) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    site.answers["/"] = found("/again")
    downloader = local(resolve=lambda _host, _port: next(answers))
    refused(downloader, f"http://{NAME}:{site.port}/")
    assert (tried, site.paths) == ([("127.0.0.1", site.port)], ["/"])


def test_the_next_address_is_tried_if_one_takes_no_connection(
    site: Site, tried: list[object]
) -> None:
    assert get(site, http(200, body=b"x"), resolve=at("127.0.0.2", "127.0.0.1")) == b"x"
    assert tried == [("127.0.0.2", site.port), ("127.0.0.1", site.port)]


def test_a_literal_is_not_looked_up(site: Site) -> None:
    site.answers["/"] = http(200, body=b"x")
    for host in ("127.0.0.1", "127.0.0.1.", "１２７.０.０.１", "[::ffff:127.0.0.1]"):
        url = f"http://{host}:{site.port}/"
        assert local(resolve=no_names).fetch(url).data == b"x"
    assert site.paths == ["/"] * 4


# The request.


def test_the_request_has_the_host_name_and_nothing_of_ours(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    site.answers["/last"] = http(200, body=b"x")
    assert get(site, http(302, "Location: /last", "Set-Cookie: a=b")) == b"x"
    assert len(site.asked) == 2
    for _, headers in site.asked:
        assert dict(headers) == {
            "Host": f"{NAME}:{site.port}",
            "User-Agent": "image-search",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("PICTURES.test", NAME),
        (NAME + ".", NAME),
        ("bücher.test", "xn--bcher-kva.test"),
        ("pictures。test", NAME),
        ("a_b.test", "a_b.test"),
    ],
)
def test_a_name_is_looked_up_as_it_is_sent(written: str, host: str, site: Site) -> None:
    asked: list[str] = []

    def resolve(name: str, _port: int) -> list[str]:
        asked.append(name)
        return ["127.0.0.1"]

    site.answers["/"] = http(200, body=b"x")
    local(resolve=resolve).fetch(f"http://{written}:{site.port}/")
    assert asked == [host]
    assert site.asked[0][1]["Host"] == f"{host}:{site.port}"


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("", "/"),
        ("?a=1", "/?a=1"),
        ("/a%20b;c?d=%C3%BC&e=[1]#f", "/a%20b;c?d=%C3%BC&e=[1]"),
        ("/ü.png?ö", "/%C3%BC.png?%C3%B6"),
        ("//evil.test/x", "//evil.test/x"),
        ("/@a:b", "/@a:b"),
    ],
)
def test_a_path_is_asked_for_in_ascii(written: str, asked: str, site: Site) -> None:
    with pytest.raises(UrlUnreadable, match="status 404"):
        local().fetch(f"http://{NAME}:{site.port}{written}")
    assert len(site.asked) == 1
    # the handler of http.server drops all but one of leading slashes
    assert site.paths[0].lstrip("/") == asked.lstrip("/")


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location", ["/a/b", "a/b", "?q", "//{host}/a/b", "http://{host}/a/b", "HTTP://{host}/a/b#c"]
)
def test_a_redirect_is_followed(status: int, location: str, site: Site) -> None:
    location = location.replace("{host}", f"{NAME}:{site.port}")
    site.answers |= dict.fromkeys(("/a/b", "/?q"), http(200, body=b"there"))
    assert get(site, http(status, f"Location: {location}")) == b"there"
    assert len(site.asked) == 2


def test_the_url_of_a_download_is_the_last_one(site: Site) -> None:
    site.answers |= {"/": found("a"), "/a": found("ä b"), "/%C3%A4%20b": http(200, body=b"x")}
    url = f"http://{NAME}:{site.port}/"
    assert local().fetch(url).url == f"{url}%C3%A4%20b"


def test_three_redirects_are_followed_and_a_fourth_is_not(site: Site) -> None:
    site.answers |= {f"/{number}": found(f"/{number + 1}") for number in range(1, 5)}
    site.answers |= {"/5": http(200, body=b"x")}
    url = f"http://{NAME}:{site.port}"
    assert local().fetch(f"{url}/2").data == b"x"
    with pytest.raises(UrlUnreadable, match=f"{NAME} redirects more than 3 times"):
        local().fetch(f"{url}/1")
    assert site.paths == ["/2", "/3", "/4", "/5", "/1", "/2", "/3", "/4"]


def test_a_loop_of_redirects_ends(site: Site) -> None:
    with pytest.raises(UrlUnreadable, match="more than 3 times"):
        get(site, found("/"))
    assert len(site.asked) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "//169.254.169.254/",
        "http://10.0.0.1/",
        "http://[::1]:{port}/",
        "http://[::]:{port}/",
        "http://[::ffff:10.0.0.1]/",
        "http://0.0.0.0:{port}/",
        "http://2130706433:{port}/",
        "http://127.1:{port}/",
        "http://user:secret@127.0.0.1:{port}/",
        "http://good.test\\@127.0.0.1:{port}/",
        "http://127.0.0.1:0/",
        "http://[::1",
        "http://caf\xe9.test/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_x",
        "ftp://127.0.0.1/",
        "data:image/png;base64,AAAA",
        "javascript:1",
    ],
)
def test_a_redirect_is_checked_as_a_url_is(location: str, site: Site, tried: list[object]) -> None:
    site.answers["/"] = found(location.replace("{port}", str(site.port)))
    refused(local(), f"http://{NAME}:{site.port}/")
    assert (tried, site.paths) == ([("127.0.0.1", site.port)], ["/"])


@pytest.mark.parametrize("answer", [http(302), http(302, "Location:"), http(307, "Location:  ")])
def test_a_redirect_to_nowhere_is_unreadable(answer: bytes, site: Site) -> None:
    with pytest.raises(UrlUnreadable, match=f"{NAME} redirects to nowhere"):
        get(site, answer)


# The answer.


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return http(200, "Transfer-Encoding: chunked", body=body + end)


@pytest.mark.parametrize("size", [1, MAX_BYTES])
def test_a_file_of_the_allowed_size_is_read(size: int, site: Site) -> None:
    body = bytes(index % 251 for index in range(size))
    assert get(site, http(200, body=body)) == body
    assert get(site, http(200, f"Content-Length: {size}", body=body)) == body
    assert get(site, chunked(body[:7], body[7:]) if size > 7 else chunked(body)) == body


def forever(head: bytes, piece: bytes, pause: float = 0) -> Callable[[BinaryIO], None]:
    """Sends `piece` until the other side hangs up."""

    def answer(wire: BinaryIO) -> None:
        wire.write(head)
        for each in repeat(piece):
            wire.write(each)
            time.sleep(pause)

    return answer


PLENTY = b"x" * 65536


@pytest.mark.parametrize(
    "answer",
    [
        http(200, body=b"x" * (MAX_BYTES + 1)),
        http(200, f"Content-Length: {MAX_BYTES + 1}", body=b"x" * (MAX_BYTES + 1)),
        chunked(*[b"x"] * (MAX_BYTES + 1)),
        chunked(b"x" * (MAX_BYTES + 1)),
        forever(http(200), PLENTY),
        forever(http(200, "Content-Length: x"), PLENTY),
        forever(http(200, "Content-Length: -1"), PLENTY),
        forever(http(200, "Content-Length: " + "9" * 5000), PLENTY),
        forever(chunked(end=b""), b"10000\r\n" + PLENTY + b"\r\n"),
        forever(chunked(end=b"ffffffffffff\r\n"), PLENTY),
        forever(chunked(end=b"-1\r\n"), PLENTY),
        forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        forever(chunked(b"x", end=b"0\r\n"), b"X-Trailer: x\r\n" * 1000),
    ],
)
def test_more_than_the_allowed_bytes_are_too_large(
    answer: bytes | Callable[[BinaryIO], object], site: Site
) -> None:
    with pytest.raises(ImageTooLarge, match=r"0\.001 MB allowed|more bytes than are allowed"):
        get(site, answer)


def test_an_announced_size_over_the_bound_is_refused_before_the_file_comes(site: Site) -> None:
    hung_up = threading.Event()

    def answer(wire: BinaryIO) -> None:
        wire.write(http(200, f"Content-Length: {MAX_BYTES + 1}"))
        hung_up.wait(SOON)

    with pytest.raises(ImageTooLarge, match=r"more than the 0\.001 MB allowed"):
        get(site, answer, total_seconds=SOON)
    hung_up.set()


@pytest.mark.parametrize(
    "answer",
    [
        http(200, "Content-Length: 500", body=b"x" * 499),
        http(200, "Content-Length: 500"),
        chunked(b"x" * 100, end=b""),
        chunked(b"x", end=b"50\r\nxxx"),
        chunked(b"x", end=b"zz\r\nxxx"),
        b"",
    ],
)
def test_a_server_that_breaks_off_is_unavailable(answer: bytes, site: Site) -> None:
    with pytest.raises(SourceUnavailable, match=f"{NAME} (cannot be reached, or )?broke off"):
        get(site, answer)


def test_bytes_after_the_announced_ones_are_no_part_of_the_file(site: Site) -> None:
    assert get(site, http(200, "Content-Length: 5", body=b"filesmuggled")) == b"files"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"<html>\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/7 200 OK\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 70_000,
        http(200, "X: " + "x" * 70_000, body=b"x"),
        http(200, *["X: x"] * 200, body=b"x"),
        chunked(end=b"-5\r\nxxxxx"),
        chunked(end=b"-ffffffffffffffffffffffff\r\nxxxxx"),
    ],
)
def test_what_is_no_http_is_unreadable(answer: bytes, site: Site) -> None:
    with pytest.raises(UrlUnreadable, match=f"{NAME} does not speak HTTP"):
        get(site, answer)


@pytest.mark.parametrize("status", [201, 204, 206, 300, 304, 400, 401, 403, 404, 410, 451])
def test_a_status_that_stays_is_unreadable(status: int, site: Site) -> None:
    with pytest.raises(UrlUnreadable, match=f"{NAME} answers with status {status}"):
        get(site, http(status, body=b"x"))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_a_status_that_passes_is_unavailable(status: int, site: Site) -> None:
    with pytest.raises(SourceUnavailable, match=f"{NAME} answers with status {status}"):
        get(site, http(status, body=b"x"))


@pytest.mark.parametrize("answer", [http(200), http(200, "Content-Length: 0"), chunked()])
def test_an_empty_file_is_unreadable(answer: bytes, site: Site) -> None:
    with pytest.raises(UrlUnreadable, match=f"{NAME} sends an empty file"):
        get(site, answer)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP", "identity, gzip"])
def test_a_compressed_answer_is_unreadable(encoding: str, site: Site) -> None:
    with pytest.raises(UrlUnreadable, match="compressed"):
        get(site, http(200, f"Content-Encoding: {encoding}", body=b"x"))


def test_an_answer_that_says_it_is_not_compressed_is_read(site: Site) -> None:
    assert get(site, http(200, "Content-Encoding: Identity", body=b"x")) == b"x"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('"abc"', '"abc"'),
        ('W/"abc"', 'W/"abc"'),
        ("", None),
        ('"a\0b"', None),
        ('"' + "x" * 256, None),
    ],
)
def test_an_etag_is_kept_if_it_can_be(sent: str, kept: str | None, site: Site) -> None:
    site.answers["/"] = http(200, f"ETag: {sent}", body=b"x")
    assert local().fetch(f"http://{NAME}:{site.port}/").etag == kept


# Time, and servers that are not there.


def in_time(url: str, **options: object) -> str:
    """The text of the SourceUnavailable that a fetch ends in before long."""
    began = time.monotonic()
    with pytest.raises(SourceUnavailable) as caught:
        local(**options).fetch(url)
    assert time.monotonic() - began < SOON
    return str(caught.value)


LATE = f"{NAME} did not answer in time."


@pytest.mark.parametrize(
    "answer",
    [
        forever(b"", b"H", pause=0.05),
        forever(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", pause=0.05),
        forever(b"HTTP/1.1 200 OK\r\nX: ", b"x", pause=0.05),
        forever(http(200), b"x", pause=0.05),
        forever(http(200, "Content-Length: 900"), b"x", pause=0.05),
        forever(chunked(end=b""), b"1\r\nx\r\n", pause=0.05),
        forever(chunked(end=b"1;"), b"x", pause=0.05),
    ],
)
def test_a_drip_does_not_outlast_the_deadline(
    answer: Callable[[BinaryIO], None], site: Site
) -> None:
    site.answers["/"] = answer
    assert in_time(f"http://{NAME}:{site.port}/", total_seconds=0.4) == LATE


def test_the_deadline_is_one_for_all_redirects(site: Site) -> None:
    def slowly(wire: BinaryIO) -> None:
        time.sleep(0.3)
        wire.write(found("/"))

    site.answers["/"] = slowly
    assert in_time(f"http://{NAME}:{site.port}/", total_seconds=0.5) == LATE
    assert len(site.asked) == 2


def test_a_resolver_that_hangs_does_not_outlast_the_deadline() -> None:
    done = threading.Event()

    def hang(_host: str, _port: int) -> list[str]:
        done.wait(10 * SOON)
        return []

    assert in_time(f"http://{NAME}/", resolve=hang, total_seconds=0.2) == LATE
    done.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connecting_has_a_time_of_its_own(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        url = f"{scheme}://{NAME}:{address[1]}/"
        if scheme == "https":  # the handshake alone hangs
            assert in_time(url, connect_seconds=0.2) == LATE
            return
        with socket.create_connection(address):  # fills the queue: no other gets through
            assert in_time(url, connect_seconds=0.2) == LATE


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "Name or service not known"), None])
def test_a_name_without_an_address_is_unavailable(failure: OSError | None) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        if failure:
            raise failure
        return []

    assert in_time(f"http://{NAME}/", resolve=resolve) == f"No address is known for {NAME}."


def test_a_closed_port_is_unavailable_and_its_address_is_not_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert in_time(f"http://{NAME}:{port}/") == f"{NAME} cannot be reached, or broke off."


# TLS.


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for NAME, and a client's that trusts it."""
    pem = self_signed(tmp_path_factory.mktemp("tls"), NAME)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))


@pytest.fixture
def asked_sni(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> list[str | None]:
    names: list[str | None] = []

    def note(_socket: object, name: str | None, _context: object) -> None:
        names.append(name)

    tls[0].sni_callback = note
    return names


@pytest.fixture
def secure(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Site]:
    with serving(tls[0]) as opened:
        opened.answers["/"] = http(200, body=b"secret")
        yield opened


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


def test_over_tls_the_name_stays_that_of_the_url(
    secure: Site, tls: Contexts, asked_sni: list[str | None], tried: list[object]
) -> None:
    got = local(tls=tls[1]).fetch(f"https://{NAME.upper()}.:{secure.port}/")
    assert got.data == b"secret"
    assert asked_sni == [NAME]
    assert secure.asked[0][1]["Host"] == f"{NAME}:{secure.port}"
    assert tried == [("127.0.0.1", secure.port)]


@pytest.mark.parametrize("host", ["other.test", f"www.{NAME}", "127.0.0.1"])
def test_a_certificate_for_another_name_is_not_trusted(
    host: str, secure: Site, tls: Contexts
) -> None:
    text = in_time(f"https://{host}:{secure.port}/", tls=tls[1])
    assert text == f"No trusted TLS connection to {host} can be made."
    assert secure.asked == []


def test_a_certificate_of_nobody_is_not_trusted(secure: Site) -> None:
    text = in_time(f"https://{NAME}:{secure.port}/", tls=Downloader(MAX_BYTES).tls)
    assert text == f"No trusted TLS connection to {NAME} can be made."
    assert secure.asked == []


def test_a_server_without_tls_is_unavailable_over_https(site: Site, tls: Contexts) -> None:
    site.answers["/"] = http(200, body=b"x")
    with pytest.raises(SourceUnavailable, match=NAME):
        local(tls=tls[1]).fetch(f"https://{NAME}:{site.port}/")


def test_a_drip_over_tls_does_not_outlast_the_deadline(secure: Site, tls: Contexts) -> None:
    secure.answers["/"] = forever(http(200), b"x", pause=0.05)
    url = f"https://{NAME}:{secure.port}/"
    assert in_time(url, tls=tls[1], total_seconds=0.4) == LATE


def test_a_redirect_goes_up_to_https_but_not_down(site: Site, secure: Site, tls: Contexts) -> None:
    downloader = local(tls=tls[1])
    site.answers["/up"] = found(f"https://{NAME}:{secure.port}/across")
    secure.answers["/across"] = found("/")
    assert downloader.fetch(f"http://{NAME}:{site.port}/up").data == b"secret"
    asked = len(site.asked)
    secure.answers["/down"] = found(f"http://{NAME}:{site.port}/up")
    refused(downloader, f"https://{NAME}:{secure.port}/down")
    assert len(site.asked) == asked


# No dots and no 2 or 3: what is left spells no public address, so nothing is connected to.
@given(st.text() | st.text(alphabet="htps:/\\@[]%#?0x1f１ \t\r\n").map("http://{}".format))
def test_no_text_does_worse_than_a_refusal(url: str) -> None:
    with pytest.raises(ImageSearchError):
        local(allow=(), resolve=at()).fetch(url)
