"""What a standing search has found as an Atom feed (RFC 4287).

Addresses are relative references, which readers resolve against the feed's own: so they are right
behind every proxy, whatever host and scheme it is reached by.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from uuid import NAMESPACE_OID, uuid5
from xml.etree.ElementTree import Element, SubElement, tostring

from app.catalog.images.image_names import original_filename
from app.catalog.standing.match_rows import Match
from app.catalog.standing.standing_search_rows import StandingSearch
from app.pictures.formats import type_and_suffix
from app.runtime.standing.standing_searches import title_of
from app.web.addresses import PictureAddresses

ATOM = "http://www.w3.org/2005/Atom"
MEDIA_TYPE = "application/atom+xml"
AUTHOR = "picture-search"
MAX_ENTRIES = 50  # the newest matches


def atom_feed(
    search: StandingSearch, matches: Sequence[Match], addresses: PictureAddresses, own: str
) -> bytes:
    """The feed at the address `own`; `matches` are its newest, newest first."""
    feed = Element("feed", {"xmlns": ATOM})
    updated = matches[0].created_at if matches else search.created_at
    _text(feed, "id", _urn(search))
    _text(feed, "title", _printable(title_of(search)))
    _text(feed, "updated", _moment(updated))
    _text(SubElement(feed, "author"), "name", AUTHOR)
    SubElement(feed, "link", {"rel": "self", "type": MEDIA_TYPE, "href": own})
    for match in matches:
        _add_entry(feed, search, match, addresses)
    written: bytes = tostring(feed, encoding="utf-8", xml_declaration=True)
    return written


def _add_entry(
    feed: Element, search: StandingSearch, match: Match, addresses: PictureAddresses
) -> None:
    image = match.image
    media_type, _ = type_and_suffix(image.format)
    file, thumbnail = addresses.file(image), addresses.thumbnail(image)
    title = _printable(image.caption or original_filename(image))
    entry = SubElement(feed, "entry")
    _text(entry, "id", _urn(search, match.id))
    _text(entry, "title", title)
    _text(entry, "updated", _moment(match.created_at))
    SubElement(entry, "link", {"rel": "alternate", "type": media_type, "href": file})
    enclosure = {"rel": "enclosure", "type": media_type, "length": str(image.bytes), "href": file}
    SubElement(entry, "link", enclosure)
    shown = f'<p><img src="{escape(thumbnail)}" alt="{escape(title)}"></p>'
    SubElement(
        entry, "content", {"type": "html"}
    ).text = f"{shown}<p>Confidence {match.confidence:.2f}</p>"


def _urn(search: StandingSearch, match_id: int | None = None) -> str:
    """A permanent name, as Atom wants one, unlike those of other installations."""
    named = [search.id, search.created_at.astimezone(UTC).isoformat(), match_id]
    return uuid5(NAMESPACE_OID, repr(named)).urn


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def _printable(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold; names of files may have them."""
    return "".join(one if one.isprintable() or one == " " else "�" for one in text)
