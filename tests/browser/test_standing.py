"""A search is kept on the page: it says what new pictures match, has a feed, and can be deleted."""

import urllib.request
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from app.access import api_keys
from tests.browser.axe import violations
from tests.browser.conftest import Locked, Visitor
from tests.browser.seeing import dialog, settle
from tests.browser.serving import PICTURES, Service, wait
from tests.browser.test_keys import give
from tests.browser.test_manners import Scheme, overflowing
from tests.fixtures.drawn_pictures import encoded

KEPT = "/api/v1/standing-searches"


@pytest.fixture(autouse=True)
def _emptied(service: Service) -> Iterator[None]:
    yield
    for one in service.ask("GET", KEPT)["data"]:
        service.ask("DELETE", f"{KEPT}/{one['id']}")


def opened(page: Page) -> Locator:
    settle(page)
    page.get_by_role("button", name="Tell me", exact=True).click()
    return page.get_by_role("dialog", name="Tell me")


def turned(name: str, degrees: float) -> bytes:
    with Image.open(PICTURES / name) as image:
        return encoded(image.convert("RGB").rotate(degrees).resize((300, 300)))


@pytest.mark.parametrize(
    ("size", "scheme", "degrees"),
    [((1280, 900), "light", 4.0), ((360, 740), "dark", 5.0)],
    ids=["wide", "phone"],
)
def test_a_search_tells_of_new_pictures(
    visitor: Visitor, service: Service, size: tuple[int, int], scheme: Scheme, degrees: float
) -> None:
    address = "/?q=a+green+tree&filter=%7B%22width%22%3A300%7D"
    page = visitor.visit(service, address, size=size, scheme=scheme)
    asked = opened(page)
    asked.get_by_label("Which ones?").select_option("those that match")
    assert (violations(page), overflowing(page)) == ([], [])
    asked.get_by_role("button", name="Tell me of new ones").click()
    kept = asked.get_by_role("listitem").filter(has_text="a green tree")
    expect(kept).to_contain_text("Nothing new so far.")
    (known,) = service.ask("GET", KEPT)["data"]
    assert (known["filter"], known["min_confidence"]) == ({"width": 300}, 0.9)
    sent = turned("green-tree.jpg", degrees)
    service.ask("POST", "/upload", files={"file": ("our tree.jpg", sent)})
    found = kept.get_by_role("link", name="our tree.jpg")
    asked.get_by_role("button", name="Close").click()
    wait(lambda: bool(service.ask("GET", f"{KEPT}/{known['id']}/matches")["data"]))
    opened(page)
    expect(found).to_be_visible()
    assert (violations(page), overflowing(page)) == ([], [])
    visitor.photograph("told")
    feed = str(kept.get_by_role("link", name="Feed").evaluate("link => link.href"))
    with urllib.request.urlopen(feed) as answer:
        assert b"our tree.jpg" in answer.read()
    found.click()
    expect(dialog(page).get_by_role("heading", name="our tree.jpg")).to_be_visible()
    page.keyboard.press("Escape")
    kept.get_by_role("button", name="Delete: a green tree").click()
    expect(kept).to_have_count(0)
    assert service.ask("GET", KEPT)["data"] == []


def test_what_cannot_be_kept_is_said_instead(visitor: Visitor, service: Service) -> None:
    asked = opened(visitor.visit(service, "/"))
    expect(asked).to_contain_text("search for words or for a picture of this collection first")
    expect(asked.get_by_role("button", name="Tell me of new ones")).to_have_count(0)
    hit = service.ask("GET", "/api/v1/search?q=a+cat&limit=1")["hits"][0]["id"]
    asked = opened(visitor.visit(service, f"/?image={hit}&box=0.1,0.1,0.5,0.5"))
    expect(asked.get_by_role("button", name="Tell me of new ones")).to_have_count(0)
    asked = opened(visitor.visit(service, f"/?image={hit}&without=red"))
    asked.get_by_role("button", name="Tell me of new ones").click()
    expect(asked.get_by_role("listitem")).to_have_count(1)
    (known,) = service.ask("GET", KEPT)["data"]
    assert [(one["id"], one["text"]) for one in known["query"]] == [(hit, None), (None, "red")]


def test_a_reader_sees_what_was_kept_and_changes_nothing(visitor: Visitor, locked: Locked) -> None:
    with locked.service.services.sessions.begin() as session:
        _, key = api_keys.create(session, "default", "reader", "reader", None)
    visitor.refusals.add(401)
    page = visitor.visit(locked.service, "/?q=a+green+tree")
    give(page, key)
    asked = opened(page)
    expect(asked).to_contain_text("A search that is kept here")
    expect(asked.get_by_role("button", name="Tell me of new ones")).to_be_hidden()


def test_what_keeps_a_search_from_telling_is_said_to_be_english(
    visitor: Visitor, service: Service
) -> None:
    """Before, a German page said it without a word about the language."""
    service.ask("POST", KEPT, json={"query": "a tree"})

    def fail(route: Route) -> None:
        answer = route.fetch()
        told = answer.json()
        told["data"][0]["problem"] = "Its model is gone."
        route.fulfill(response=answer, json=told)

    page = visitor.visit(service, language="de-DE")
    page.route(f"**{KEPT}?*", fail)
    settle(page)
    page.locator("#standing").click()
    expect(page.get_by_role("dialog")).to_contain_text("Auf Englisch: Its model is gone.")
