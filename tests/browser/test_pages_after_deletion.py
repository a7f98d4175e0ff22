"""Somebody deletes pictures of an answer whose next page is not loaded yet."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import answer, names, scroll_down, settle, tiles
from tests.browser.serving import Service
from tests.fixtures.drawn_pictures import png

PAGE = 40  # as in query.js
REST = 15  # on the next page
TREES = [f"tree {number}.png" for number in range(PAGE + REST)]
PHONE = (360, 640)  # so that the next page does not come by itself


@pytest.fixture
def trees(service: Service) -> Iterator[Service]:
    """The service with a further collection, of which all pictures are named after a tree."""
    service.ask("POST", "/api/v1/collections", json={"name": "trees"})
    files = [("files", (name, png(20_000 + number))) for number, name in enumerate(TREES)]
    service.job(files=files, params={"collection": "trees"})
    yield service
    service.ask("DELETE", "/api/v1/collections/trees")


def visit(visitor: Visitor, service: Service, address: str) -> Page:
    page = visitor.visit(service, f"/?collection=trees{address}", size=PHONE)
    settle(page)
    expect(tiles(page)).to_have_count(PAGE)
    return page


def delete(page: Page) -> None:
    """What is selected."""
    page.get_by_role("region", name="Selected pictures").get_by_role(
        "button", name="Delete"
    ).click()


def test_no_picture_is_skipped_after_a_deletion(visitor: Visitor, trees: Service) -> None:
    """Before, as many as had been deleted were never shown: pages are counted from the first."""
    visitor.refusals.add(404)  # as below
    page = visit(visitor, trees, "&q=tree")
    first = names(page)[:10]
    page.get_by_role("button", name="Select", exact=True).click()
    tiles(page).first.click()
    tiles(page).nth(9).click(modifiers=["Shift"])
    delete(page)
    expect(tiles(page)).to_have_count(PAGE - 10)
    for count in (PAGE, PAGE + REST - 10):  # the first page again, and the rest
        for _ in range(4):
            scroll_down(page)
        expect(tiles(page)).to_have_count(count)
    assert sorted(names(page)) == sorted(set(TREES) - set(first))
    page.get_by_role("button", name="Undo").click()
    expect(tiles(page)).to_have_count(PAGE + REST)


@pytest.mark.parametrize(
    ("address", "sentence"), [("&q=tree", f"best of {REST}"), ("", f"newest of {REST}")]
)
def test_what_follows_comes_after_all_that_was_loaded_is_deleted(
    visitor: Visitor, trees: Service, address: str, sentence: str
) -> None:
    """Before, the page said that no picture passes the filter."""
    visitor.refusals.add(404)  # thumbnails that are loaded while their pictures are deleted
    page = visit(visitor, trees, address)
    page.get_by_role("button", name="Select", exact=True).click()
    page.get_by_role("button", name="All loaded so far").click()
    delete(page)
    expect(tiles(page)).to_have_count(REST)
    expect(answer(page)).to_contain_text(sentence)
