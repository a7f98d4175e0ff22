"""Feeds behind keys: a signed address opens one feed with its pictures, and nothing else."""

import time
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from app.access import api_keys
from app.runtime.services import Services
from tests.conftest import TEST_IMAGES
from tests.fixtures.http_jobs import Answer
from tests.fixtures.search_library import refused

PATH = "/api/v1/standing-searches"
ATOM = "{http://www.w3.org/2005/Atom}"
DAY = 86_400
YEAR = 365 * DAY


def admins(services: Services, namespace: str) -> dict[str, str]:
    """The header of a new admin key."""
    with services.sessions.begin() as session:
        return {"X-API-Key": api_keys.create(session, namespace, "feeds", "admin", None)[1]}


def own_address(feed: Answer) -> str:
    (own,) = ElementTree.fromstring(feed.content).findall(f"{ATOM}link")
    return own.attrib["href"]


def test_what_a_feed_calls_its_own_address_works_as_long_as_the_feeds(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that subscribes to it, or follows it on, still has access days later."""
    mine = admins(services, "default")
    made = client.post(PATH, json={"query": "a pier"}, headers=mine).json()
    own = own_address(client.get(made["feed_url"]))
    assert own == own_address(client.get(f"{PATH}/{made['id']}/feed", headers=mine))
    later = time.time() + 2 * DAY  # pictures' addresses have expired
    monkeypatch.setattr(services.address_signer, "_clock", lambda: later)
    assert client.get(own).status_code == client.get(made["feed_url"]).status_code == 200


def test_an_address_lives_no_longer_because_it_was_read(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading signed another for two years, also for whoever has no key any more."""
    mine = admins(services, "default")
    made = client.post(PATH, json={"query": "a mole"}, headers=mine).json()
    later = time.time() + 300 * DAY
    monkeypatch.setattr(services.feed_signer, "_clock", lambda: later)
    assert own_address(client.get(made["feed_url"])) == made["feed_url"]
    assert own_address(client.get(f"{PATH}/{made['id']}/feed", headers=mine)) != made["feed_url"]


@pytest.mark.parametrize("namespace", ["default", "shop"])
def test_a_feeds_address_opens_it_without_the_key(
    client: TestClient, services: Services, namespace: str
) -> None:
    mine = admins(services, namespace)
    client.post("/api/v1/collections", json={"name": "default"}, headers=mine)
    asked = {"query": "a tree", "min_confidence": 0}
    first, other = (client.post(PATH, json=asked, headers=mine).json() for _ in range(2))
    file = ("tree.jpg", (TEST_IMAGES / "tree.jpg").read_bytes())
    assert client.post("/upload", files={"file": file}, headers=mine).status_code == 201
    services.worker.standing_work.tell_of_new()

    feed = client.get(first["feed_url"])
    assert feed.status_code == 200, feed.text
    assert client.get(own_address(feed)).content == feed.content  # a reader may follow it
    (entry,) = ElementTree.fromstring(feed.content).findall(f"{ATOM}entry")  # our own
    (link,) = [one for one in entry.findall(f"{ATOM}link") if one.get("rel") == "enclosure"]
    assert client.get(link.attrib["href"]).content == file[1]

    address = urlsplit(first["feed_url"])
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert client.get(address.path).status_code == 401
    refused(client.get(f"{PATH}/{other['id']}/feed", params=query), 403)
    later = {**query, "expires": str(int(query["expires"]) + YEAR)}
    refused(client.get(f"{address.path}?{urlencode(later)}"), 403)
    assert client.get(f"{PATH}/{first['id']}/matches", params=query).status_code == 401
    assert client.delete(first["url"], headers=mine).status_code == 204
    assert client.get(first["feed_url"]).status_code == 404
