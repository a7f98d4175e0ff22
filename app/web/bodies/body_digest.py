"""The SHA-256 of a request's body, taken while the body is read: nothing is kept of it."""

from email.message import Message as MimeMessage
from hashlib import sha256

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive


class BodyDigest:
    """Hashes what passes through `receive`.

    Of a form, the boundary is left out: a client that sends the same form again makes a new one.
    """

    def __init__(self, receive: Receive, content_type: str) -> None:
        self._receive = receive
        self._boundary = _boundary(content_type)
        self._hash = sha256()
        self._held_back = b""  # it may be the beginning of a boundary
        self.is_complete = False

    async def receive(self) -> Message:
        """As the `receive` of the request."""
        message = await self._receive()
        if message["type"] == "http.request" and not self.is_complete:
            self.is_complete = not message.get("more_body", False)
            self._add(self._held_back + message.get("body", b""))
        return message

    async def drain(self) -> None:
        """Read the rest of the body. Raises ClientDisconnect."""
        while not self.is_complete:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect

    def digest(self) -> bytes:
        """The SHA-256 of what has passed."""
        return self._hash.digest()

    def _add(self, data: bytes) -> None:
        size = len(self._boundary)
        while size and (found := data.find(self._boundary)) >= 0:
            self._hash.update(data[:found])
            data = data[found + size :]
        kept = 0 if self.is_complete else min(max(size - 1, 0), len(data))
        self._hash.update(data[: len(data) - kept])
        self._held_back = data[len(data) - kept :]


def _boundary(content_type: str) -> bytes:
    """The boundary of a form's parts; empty if it is no form."""
    message = MimeMessage()
    message["content-type"] = content_type
    is_form = message.get_content_maintype() == "multipart"
    return (message.get_boundary() or "").encode("latin-1", "replace") if is_form else b""
