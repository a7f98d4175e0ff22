"""The addresses in answers, as clients reach them: below ROOT_PATH where a proxy adds a prefix."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from app.access.signed_addresses import AddressSigner, Kind, SignedAddress
from app.catalog.collections import DEFAULT_NAMESPACE
from app.database.tables import Image
from app.web.aliases import API

CONTENT_DIGITS = 16  # of a SHA-256 in hexadecimal


@dataclass(frozen=True)
class Addresses:
    """Paths from the root of the host; `root_path` is empty, or `/prefix` without a slash after."""

    root_path: str = ""

    def job(self, job_id: int) -> str:
        """The progress of a job."""
        return f"{self.root_path}/api/v1/jobs/{job_id}"

    def job_events(self, job_id: int) -> str:
        """The progress of a job as server-sent events."""
        return f"{self.job(job_id)}/events"

    def image(self, image_id: int) -> str:
        """A picture's record."""
        return f"{self.root_path}/api/v1/images/{image_id}"

    def collection(self, namespace: str, name: str) -> str:
        """A collection."""
        return f"{self.root_path}/api/v1/collections/{name}?namespace={namespace}"

    def golden_query(self, namespace: str, name: str, query_id: int) -> str:
        """A golden query of a collection."""
        path = f"/api/v1/collections/{name}/golden-queries/{query_id}"
        return f"{self.root_path}{path}?namespace={namespace}"

    def label_set(self, namespace: str, name: str, label_set: str) -> str:
        """A label set of a collection."""
        path = f"/api/v1/collections/{name}/label-sets/{label_set}"
        return f"{self.root_path}{path}?namespace={namespace}"

    def review_thumbnail(self, namespace: str, name: str, image_id: int) -> str:
        """A picture that waits for review, as a small WebP."""
        path = f"/api/v1/collections/{name}/review/{image_id}/thumbnail"
        return f"{self.root_path}{path}?namespace={namespace}"

    def standing_search(self, search_id: int) -> str:
        """A standing search."""
        return f"{self.root_path}{API}/standing-searches/{search_id}"

    def feed(self, search_id: int, signer: AddressSigner | None, namespace: str) -> str:
        """What a standing search has found as an Atom feed, signed where there is a `signer`."""
        path = f"{self.standing_search(search_id)}/feed"
        if signer is None:
            return path
        address = SignedAddress("feed", str(search_id), size="", namespace=namespace)
        expires, signature = signer.sign(address)
        return f"{path}?{urlencode(_signed(namespace, expires, signature))}"

    def search(self, name: str, text: str | None, image_id: int | None) -> str:
        """The page with what a collection answers to a text or to one of its pictures."""
        asked = {"q": text, "image": image_id, "collection": name}
        query = {key: str(value) for key, value in asked.items() if value is not None}
        return f"{self.root_path}/?{urlencode(query)}"


@dataclass(frozen=True)
class PictureAddresses:
    """Addresses of pictures, paths from the root of the host, as `Addresses`.

    Those for a caller with a key are signed for its `namespace` and work without the key; those
    for a caller without one, whose `signer` is None, need none. `thumbnail_size` is in pixels.
    """

    root_path: str = ""
    signer: AddressSigner | None = None
    namespace: str = DEFAULT_NAMESPACE
    thumbnail_size: int | None = None

    def file(self, image: Image) -> str:
        """The original file of a picture."""
        return self._address("file", image, {})

    def thumbnail(self, image: Image, page: int | None = None) -> str:
        """The thumbnail of a picture, or of one of its pages."""
        asked = {"size": self.thumbnail_size, "page": None if page == 1 else page}
        query = {name: str(value) for name, value in asked.items() if value is not None}
        return self._address("thumbnail", image, query)

    def _address(self, kind: Kind, image: Image, asked: Mapping[str, str]) -> str:
        path = f"{self.root_path}{API}/images/{image.id}/{kind}"
        query = {**asked, "v": content_version(image.content_hash)}
        if self.signer is not None:
            shape = {name: asked.get(name, "") for name in ("size", "page")}
            picture = SignedAddress(kind, str(image.id), namespace=self.namespace, **shape)
            query |= _signed(self.namespace, *self.signer.sign(picture))
        # Numbers, hexadecimal digits and names of namespaces have nothing to escape.
        return f"{path}?{'&'.join(f'{name}={value}' for name, value in query.items())}"


def _signed(namespace: str, expires: int, signature: str) -> dict[str, str]:
    """The parameters of a signed address."""
    home = {} if namespace == DEFAULT_NAMESPACE else {"namespace": namespace}
    return {**home, "expires": str(expires), "signature": signature}


def content_version(content_hash: bytes) -> str:
    """What an address has as `v`: the beginning of the SHA-256 of the picture's file.

    It decides how long the answer may be kept, and opens nothing: it need not be signed.
    """
    return content_hash.hex()[:CONTENT_DIGITS]
