"""Signed addresses (issue 19, item 6): what an answer to a key names opens without the key."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from fastapi.testclient import TestClient

from app.access import api_keys
from app.access.signed_addresses import AddressSigner, SignedAddress
from app.access.signed_tokens import Signer
from app.errors import AddressRejected
from app.main import create_app
from app.runtime.services import Services
from app.settings import Settings
from tests.conftest import local_client
from tests.fixtures.drawn_pictures import png
from tests.fixtures.search_library import refused
from tests.web.test_root_path import addresses_in

DAY = 86_400
THUMBNAIL = SignedAddress("thumbnail", "7", "512", "default")


Keys = dict[str, dict[str, str]]
"""The headers of an admin of each namespace, by the namespace."""


@pytest.fixture(scope="module")
def keys(services: Services) -> Keys:
    with services.sessions.begin() as session:
        made = {
            one: api_keys.create(session, one, one, "admin", None)[1] for one in ("default", "shop")
        }
    return {one: {"X-API-Key": text} for one, text in made.items()}


@pytest.fixture(scope="module")
def locked(settings: Settings, services: Services, keys: Keys) -> Iterator[TestClient]:
    """A service with keys, two namespaces and two pictures in each."""
    with local_client(create_app(settings, services)) as client:
        sent = client.post("/api/v1/collections", json={"name": "default"}, headers=keys["shop"])
        assert sent.status_code == 201
        for namespace, headers in keys.items():
            files = [("file", ("a.png", png(len(namespace)))), ("file", ("b.png", png(3)))]
            assert client.post("/upload", files=files, headers=headers).status_code == 201
        yield client


def shown(client: TestClient, headers: dict[str, str], **query: int) -> dict[str, str]:
    """One hit of a flat search."""
    given = {"query": "a tree"} | {name: str(value) for name, value in query.items()}
    hit: dict[str, str] = client.get("/search-by-text", params=given, headers=headers).json()[0]
    return hit


@pytest.mark.parametrize("namespace", ["default", "shop"])
def test_every_address_in_an_answer_opens_without_the_key(
    locked: TestClient, keys: Keys, namespace: str
) -> None:
    mine = keys[namespace]
    image_id = shown(locked, mine)["id"]
    locked.patch(f"/api/v1/images/{image_id}", json={"caption": "x"}, headers=mine)
    answers = [
        locked.get("/search-by-text?query=a+tree", headers=mine),
        locked.post("/search-by-image", content=png(3), headers=mine),
        locked.post("/api/v1/search?thumbnail_size=64", json={"query": "a tree"}, headers=mine),
        locked.get("/api/v1/search?q=a+tree&thumbnail_size=512", headers=mine),
        locked.get(f"/api/v1/images/{image_id}/similar", headers=mine),
        locked.get(f"/images/{image_id}?thumbnail_size=1024", headers=mine),
        locked.get("/api/v1/collections/default/images", headers=mine),
        locked.get("/api/v1/duplicates?kind=semantic&threshold=0.5", headers=mine),
    ]
    for answer in answers:
        found = addresses_in(answer.json())
        assert found, answer.text
        for url in found:
            assert locked.get(urlsplit(url).path).status_code == 401
            opened = locked.get(url)
            assert opened.status_code == 200, (url, opened.text)
            assert opened.headers["cross-origin-resource-policy"] == "cross-origin"
            assert locked.head(url).status_code == 200
            assert locked.get(url, headers=mine).status_code == 200


def test_an_address_opens_nothing_else(locked: TestClient, keys: Keys) -> None:
    hit = shown(locked, keys["shop"], thumbnail_size=64)
    other = shown(locked, keys["default"])["id"]
    parts = urlsplit(hit["thumbnail_url"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert set(query) == {"size", "v", "namespace", "expires", "signature"}
    kept = locked.get(hit["thumbnail_url"]).headers
    assert "immutable" in kept["cache-control"]
    assert "vary" not in kept  # the address itself gives access
    later = str(int(query["expires"]) + DAY)
    altered = [
        (parts.path, query | {"size": "1024"}),
        (parts.path, query | {"page": "2"}),
        (parts.path, query | {"expires": later}),
        (parts.path, query | {"namespace": "default"}),
        (parts.path, query | {"signature": query["signature"][:-1]}),
        (parts.path, query | {"signature": "ü\ud800"}),
        (parts.path, {name: value for name, value in query.items() if name != "expires"}),
        (parts.path, {name: value for name, value in query.items() if name != "size"}),
        (parts.path.replace("thumbnail", "file"), query),
        (f"/api/v1/images/{other}/thumbnail", query),
        (f"/images/{other}/thumbnail", query),
        (f"/images/{other}/thumbnail", query | {"namespace": "default"}),
    ]
    for path, changed in altered:
        answer = locked.get(f"{path}?{urlencode(changed, errors='surrogatepass')}")
        assert "link to a picture" in refused(answer, 403), (path, changed)
        assert answer.json()["code"] == "address_invalid"
    without_version = {name: value for name, value in query.items() if name != "v"}
    plain = parts.path.removeprefix("/api/v1")
    for path in (parts.path, plain):  # as it was before addresses had a version
        assert locked.get(f"{path}?{urlencode(without_version)}").status_code == 200
    twice = locked.get(f"{hit['thumbnail_url']}&size=1024")
    assert twice.status_code == 403
    record = parts.path.removesuffix("/thumbnail")
    for path in (record, f"{record}/similar"):
        assert locked.get(f"{path}?{parts.query}").status_code == 401


def test_a_deleted_pictures_address_stops(locked: TestClient, keys: Keys) -> None:
    mine = keys["default"]
    sent = locked.post("/upload", files={"file": ("c.png", png(77))}, headers=mine)
    image_id = sent.json()[0]["id"]
    record = locked.get(f"/images/{image_id}", headers=mine).json()
    assert locked.get(record["url"]).content == png(77)
    assert locked.delete(f"/images/{image_id}", headers=mine).status_code == 204
    for name in ("url", "thumbnail_url"):
        assert "no picture" in refused(locked.get(record[name]), 404)


def test_another_namespaces_key_gains_nothing_by_it(locked: TestClient, keys: Keys) -> None:
    url = shown(locked, keys["shop"])["url"]
    assert locked.get(url, headers=keys["default"]).status_code == 403


def test_addresses_stay_the_same_for_half_their_time() -> None:
    moments = iter([0.0, DAY / 2 - 1, DAY / 2])
    signer = AddressSigner(Signer("s" * 32), DAY, lambda: next(moments))
    signed = [signer.sign(THUMBNAIL) for _ in range(3)]
    assert signed[0] == signed[1] != signed[2]
    assert [expires for expires, _ in signed] == [DAY, DAY, DAY * 3 // 2]


def test_an_address_ends_with_its_time_and_with_the_secret() -> None:
    now = [1_000_000.0]
    signer = AddressSigner(Signer("s" * 32), DAY, lambda: now[0])
    expires, signature = signer.sign(THUMBNAIL)
    assert DAY / 2 < expires - now[0] <= DAY
    now[0] = expires - 1
    signer.check(THUMBNAIL, str(expires), signature)
    with pytest.raises(AddressRejected, match="was changed"):
        AddressSigner(Signer("t" * 32), DAY).check(THUMBNAIL, str(expires), signature)
    now[0] = expires
    with pytest.raises(AddressRejected, match="expired"):
        signer.check(THUMBNAIL, str(expires), signature)
