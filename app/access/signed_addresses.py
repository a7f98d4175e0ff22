"""Signed addresses: whoever has one may read that file, thumbnail or feed until it expires.

An `<img>` or a feed reader cannot send an API key: the addresses of an answer go there as they are.
"""

import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.access.signed_tokens import Signer
from app.errors import AddressRejected

Kind = Literal["file", "thumbnail", "feed"]

PURPOSE = "signed address"  # what the key is derived for: no other signature can stand for one

CHANGED = (
    "This link to a picture is incomplete or was changed: open the picture from the library again. "
    "Programs take `url`, `thumbnail_url` and `feed_url` from an answer as they are."
)
EXPIRED = (
    "This link to a picture has expired: open the picture from the library again. Programs search "
    "again for new links, or send an API key in the header Authorization: Bearer <key>."
)


@dataclass(frozen=True)
class SignedAddress:
    """What a signature is bound to: the id of a picture, or for a feed of a standing search.

    `size`, in pixels, and `page` are a thumbnail's, as the address spells them.
    The namespace is signed too: a picture that is no longer in it is not found.
    """

    kind: Kind
    id: str
    size: str
    namespace: str
    page: str = ""


class AddressSigner:
    """Signs addresses that work for `seconds` at most, and for half of that at least.

    All that are signed within the same half expire at the same moment, so the address of a picture
    stays the same for a while and caches can keep what it leads to. `clock` gives seconds since
    1970.
    """

    def __init__(
        self, signer: Signer, seconds: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._key = signer.derived_key(PURPOSE)
        self._step = max(1, seconds // 2)
        self._clock = clock

    def sign(self, address: SignedAddress) -> tuple[int, str]:
        """When the address expires, in seconds since 1970, and its signature."""
        expires = self.expiry()
        return expires, self._signature(address, str(expires))

    def expiry(self) -> int:
        """When an address that is signed now expires, in seconds since 1970."""
        return (int(self._clock()) // self._step + 2) * self._step

    def check(self, address: SignedAddress, expires: str, signature: str) -> None:
        """Raises AddressRejected if the signature is of something else, or has expired."""
        expected = self._signature(address, expires).encode()
        if not hmac.compare_digest(expected, signature.encode(errors="surrogatepass")):
            raise AddressRejected(CHANGED)
        if int(expires) <= self._clock():  # a number, since it was signed
            raise AddressRejected(EXPIRED)

    def _signature(self, address: SignedAddress, expires: str) -> str:
        # As JSON: no part can take another's place, whatever characters it has.
        asked = [address.kind, address.id, address.size, address.page]
        parts = [*asked, address.namespace, expires]
        return hmac.digest(self._key, json.dumps(parts).encode(), "sha256").hex()
