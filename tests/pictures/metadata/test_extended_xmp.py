"""XMP of more than 64 kB in a JPEG: the rest is in segments of its own (issue 16, line 4)."""

import hashlib
import time

import pytest

from app.pictures.decoding import decode
from app.pictures.metadata.description import Description
from app.pictures.metadata.extended_xmp import read_extended_xmp
from app.pictures.metadata.xmp_packets import MAX_XMP_BYTES
from tests.fixtures.drawn_pictures import encoded, noise
from tests.fixtures.written_metadata import alternatives, bag, xmp

SIGNATURE = b"http://ns.adobe.com/xmp/extension/\0"
CHUNK = 65_000
NOTE = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
REST = xmp(alternatives("dc:description", default="x" * 200_000) + bag("dc:subject", "pier"))


def chunks(rest: bytes, guid: str | None = None, length: int | None = None) -> list[bytes]:
    """The segments of an extended packet."""
    name = (guid or hashlib.md5(rest).hexdigest().upper()).encode()
    whole = (len(rest) if length is None else length).to_bytes(4)
    bodies = [
        SIGNATURE + name + whole + at.to_bytes(4) + rest[at : at + CHUNK]
        for at in range(0, len(rest), CHUNK)
    ]
    return [b"\xff\xe1" + (len(body) + 2).to_bytes(2) + body for body in bodies]


def picture(packet: bytes, parts: list[bytes]) -> bytes:
    data = encoded(noise(1), "JPEG", xmp=packet)
    return data[:2] + b"".join(parts) + data[2:]


def named(rest: bytes, form: str = 'xmpNote:HasExtendedXMP="{}"', elements: str = "") -> bytes:
    guid = hashlib.md5(rest).hexdigest().upper()
    if form.startswith("<"):
        return xmp(elements + form.format(guid), NOTE)
    return xmp(elements, f"{NOTE} {form.format(guid)}")


@pytest.mark.parametrize(
    "form",
    ['xmpNote:HasExtendedXMP="{}"', "<xmpNote:HasExtendedXMP>{}</xmpNote:HasExtendedXMP>"],
)
def test_what_lies_in_the_rest_is_read(form: str) -> None:
    parts = chunks(REST)
    assert len(parts) > 3
    for order in (parts, parts[::-1]):
        found = decode(picture(named(REST, form), order), 50).description
        assert found.tags == ("pier",)
        assert found.caption
        assert set(found.caption) == {"x"}


def test_the_packet_goes_before_its_rest() -> None:
    packet = named(REST, elements=bag("dc:subject", "boat"))
    found = decode(picture(packet, chunks(REST)), 50).description
    assert (found.tags, found.caption is None) == (("boat",), False)


@pytest.mark.parametrize(
    "parts",
    [
        chunks(REST)[1:],
        chunks(REST)[:-1],
        chunks(REST + b" ", hashlib.md5(REST).hexdigest().upper()),
        chunks(REST, "0" * 32),
        [],
    ],
)
def test_a_rest_that_is_not_whole_is_left_out(parts: list[bytes]) -> None:
    packet = named(REST, elements=bag("dc:subject", "boat"))
    assert decode(picture(packet, parts), 50).description == Description(tags=("boat",))


def test_the_rest_is_bounded() -> None:
    large = REST[:100] + b" " * MAX_XMP_BYTES
    began = time.process_time()
    assert read_extended_xmp(picture(named(large), chunks(large)), named(large)) == b""
    assert time.process_time() - began < 2  # it takes some hundredths
