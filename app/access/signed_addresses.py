"""Signed addresses: whoever has one may read that file or thumbnail until it expires.

An `<img>` cannot send an API key; a product puts the addresses of an answer there as they are.
"""

import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.access.signed_tokens import Signer
from app.errors import AddressRejected

Kind = Literal["file", "thumbnail"]

PURPOSE = "signed address"  # what the key is derived for: no other signature can stand for one


@dataclass(frozen=True)
class SignedPicture:
    """What a signature is bound to.

    `size`, in pixels, and `page` are a thumbnail's, as the address spells them.
    The namespace is signed too: a picture that is no longer in it is not found.
    """

    kind: Kind
    image_id: str
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

    def sign(self, picture: SignedPicture) -> tuple[int, str]:
        """When the address expires, in seconds since 1970, and its signature."""
        expires = (int(self._clock()) // self._step + 2) * self._step
        return expires, self._signature(picture, str(expires))

    def check(self, picture: SignedPicture, expires: str, signature: str) -> None:
        """Raises AddressRejected if the signature is of something else, or has expired."""
        expected = self._signature(picture, expires).encode()
        if not hmac.compare_digest(expected, signature.encode(errors="surrogatepass")):
            raise AddressRejected(
                "The signature does not fit this address: use the addresses of an answer as they "
                "are."
            )
        if int(expires) <= self._clock():  # a number, since it was signed
            raise AddressRejected("This address has expired: search again for a new one.")

    def _signature(self, picture: SignedPicture, expires: str) -> str:
        # As JSON: no part can take another's place, whatever characters it has.
        asked = [picture.kind, picture.image_id, picture.size, picture.page]
        parts = [*asked, picture.namespace, expires]
        return hmac.digest(self._key, json.dumps(parts).encode(), "sha256").hex()
