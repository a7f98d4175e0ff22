"""Writes XMP sidecars, which digiKam, darktable and Lightroom read."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree  # only to write
from xml.etree.ElementTree import Element, SubElement

from app.pictures.metadata.description import BEST, REJECTED
from app.pictures.metadata.xmp import DC, IPTC_EXT, LANGUAGE, PHOTOSHOP, RDF, XMP

TOOLKIT = "image-search"
OURS = f'x:xmptk="{TOOLKIT}"'.encode()
"""What a sidecar of ours has in its first bytes, so that it may be written anew."""

HEAD_BYTES = 1_000
META = "{adobe:ns:meta/}"
PREFIXES = {
    "x": META, "rdf": RDF, "dc": DC, "xmp": XMP, "photoshop": PHOTOSHOP, "Iptc4xmpExt": IPTC_EXT,
}  # fmt: skip
TEXTS = {"title": f"{DC}title", "copyright": f"{DC}rights"}  # in alternatives of language
NAMES = {"tags": (f"{DC}subject", "Bag"), "people": (f"{IPTC_EXT}PersonInImage", "Bag")}
PLACES = {"city": "City", "state": "State", "country": "Country"}
UNWRITABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xmp_packet(caption: str | None, metadata: Mapping[str, Any]) -> bytes | None:
    """A sidecar's bytes, UTF-8; None if there is nothing to say.

    Of the metadata it says `title tags people rating label copyright creator` and `place`; values
    of other types than those are left out, as are characters that XML cannot hold.
    """
    said = Element(f"{RDF}Description", {f"{RDF}about": ""})
    for name, value in _simple(metadata).items():
        said.set(name, _writable(value))
    texts = {f"{DC}description": caption} | {TEXTS[key]: metadata.get(key) for key in TEXTS}
    for name, text in texts.items():
        if isinstance(text, str) and text:
            _listed(said, name, "Alt", [text], {LANGUAGE: "x-default"})
    lists = {NAMES[key]: metadata.get(key) for key in NAMES}
    creator = metadata.get("creator")
    lists[f"{DC}creator", "Seq"] = [creator] if creator else None
    for (name, kind), values in lists.items():
        names = [one for one in values if isinstance(one, str)] if isinstance(values, list) else []
        if names:
            _listed(said, name, kind, names, {})
    if len(said) == 0 and len(said.attrib) == 1:
        return None
    root = Element(f"{META}xmpmeta", {f"{META}xmptk": TOOLKIT})
    SubElement(root, f"{RDF}RDF").append(said)
    return _written(root)


def is_ours(head: bytes) -> bool:
    """Whether a sidecar that begins so was written by this module."""
    return OURS in head[:HEAD_BYTES]


def _simple(metadata: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    rating, label, place = (metadata.get(key) for key in ("rating", "label", "place"))
    stars = rating if isinstance(rating, int | float) and not isinstance(rating, bool) else None
    if stars is not None and REJECTED <= stars <= BEST:
        found[f"{XMP}Rating"] = str(round(stars))
    if isinstance(label, str) and label:
        found[f"{XMP}Label"] = label
    places = place if isinstance(place, dict) else {}
    for key, name in PLACES.items():
        if isinstance(places.get(key), str):
            found[f"{PHOTOSHOP}{name}"] = places[key]
    return found


def _listed(
    said: Element, name: str, kind: str, texts: Sequence[str], attributes: Mapping[str, str]
) -> None:
    items = SubElement(SubElement(said, name), f"{RDF}{kind}")
    for text in texts:
        SubElement(items, f"{RDF}li", dict(attributes)).text = _writable(text)


def _writable(text: str) -> str:
    return UNWRITABLE.sub("", text)


def _written(root: Element) -> bytes:
    for prefix, namespace in PREFIXES.items():
        ElementTree.register_namespace(prefix, namespace.strip("{}"))
    ElementTree.indent(root, " ")
    written: str = ElementTree.tostring(root, "unicode")
    return f"{written}\n".encode()
