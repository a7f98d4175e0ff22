"""XMP packets as trees of elements: XML of bounded size, without a document type."""

import codecs
from collections.abc import Mapping
from typing import NoReturn
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from app.errors import AnnotationInvalid

MAX_XMP_BYTES = 4_000_000  # programs that keep all their edits in it write some 100 kB
MAX_DEPTH = 40  # of elements; regions of faces have 10
MAX_ELEMENTS = 100_000
MAX_ATTRIBUTES = 200_000  # signs of equality, in fact
MAX_NAMESPACES = 100  # at a time
MAX_NAMESPACE = 150  # characters of its name; the longest in use have 70
PADDING = b"\0 \t\r\n"


class _Packet:
    """Builds a bounded tree, and finds the namespaces itself.

    Expat would write a namespace's whole name before each attribute: one of a megabyte, and a
    hundred thousand attributes, and there is no memory left.
    """

    def __init__(self) -> None:
        self._tree = ElementTree.TreeBuilder()
        self._scopes = [{"xml": "http://www.w3.org/XML/1998/namespace"}]
        self._elements = 0

    def parse(self, data: bytes) -> Element:
        """The root. Raises ExpatError or AnnotationInvalid."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._tree.data
        parser.StartDoctypeDeclHandler = self._doctype
        parser.Parse(data, True)
        return self._tree.close()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        scope = self._scopes[-1]
        declared = {
            key.partition(":")[2]: uri
            for key, uri in attributes.items()
            if key == "xmlns" or key.startswith("xmlns:")
        }
        if declared:
            scope = scope | declared
        is_bounded = len(self._scopes) <= MAX_DEPTH and self._elements <= MAX_ELEMENTS
        if not is_bounded or len(scope) > MAX_NAMESPACES:
            raise AnnotationInvalid("The XMP is nested too deep, or has too many elements.")
        self._scopes.append(scope)
        values = {
            _qualified(key, scope): value
            for key, value in attributes.items()
            if ":" in key and not key.startswith("xmlns:")
        }
        self._tree.start(_qualified(name, scope), values)

    def _end(self, name: str) -> None:
        self._tree.end(_qualified(name, self._scopes.pop()))

    def _doctype(self, *_: object) -> NoReturn:
        """Without a document type there are no entities that could grow or lead elsewhere."""
        raise AnnotationInvalid("The XMP has a document type, which none may have.")


def _qualified(name: str, scope: Mapping[str, str]) -> str:
    """A name with its namespace before it; without one that is unknown, or longer than any is."""
    prefix, colon, local = name.partition(":")
    uri = scope.get(prefix if colon else "", "")
    return f"{{{uri}}}{local if colon else name}" if 0 < len(uri) <= MAX_NAMESPACE else name


def parse_packet(data: bytes) -> Element:
    """The root of a packet, in UTF-8 or UTF-16.

    Raises AnnotationInvalid if it is no XML, too large, or made to cost time.
    """
    if len(data) > MAX_XMP_BYTES:
        raise AnnotationInvalid(f"The XMP has more than {MAX_XMP_BYTES / 1e6:g} MB.")
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            data = data.decode("utf-16").encode()
        if data.count(b"=") > MAX_ATTRIBUTES:
            raise AnnotationInvalid("The XMP has too many attributes.")
        return _Packet().parse(data.strip(PADDING))
    except (expat.ExpatError, ValueError) as error:
        raise AnnotationInvalid(f"The XMP is not XML: {error}.") from error
