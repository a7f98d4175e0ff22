"""Somebody looks for pictures of one kind, or in another collection."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, expect_first, open_first, query_of, tiles
from tests.browser.serving import Service
from tests.fixtures.drawn_pictures import png
from tests.ingest.test_camera_metadata import photograph


@pytest.fixture(scope="module")
def holidays(service: Service) -> str:
    """The address of a collection with a declared field of each type."""
    fields = {"place": "text", "stars": "number", "printed": "boolean", "with": "tags"}
    service.ask("POST", "/api/v1/collections", json={"name": "holidays", "fields": fields})
    for number, place in enumerate(("Lisbon", "Lisbon", "Porto", "Faro")):
        told = {"place": place, "stars": number + 1, "printed": number % 2 == 0, "with": ["Ann"]}
        service.job(
            params={"collection": "holidays"},
            files={"files": (f"{number}.png", png(6_000 + number))},
            data={"caption": f"{place} {number}", "metadata": json.dumps(told)},
        )
    return "/?collection=holidays"


def group(page: Page, name: str) -> Locator:
    """The inputs of a field, in the panel that is open then."""
    button = page.get_by_role("button", name="Filters", exact=True)
    if button.get_attribute("aria-expanded") == "false":
        button.click()
    return page.get_by_role("group", name=name, exact=True)


def filter_of(page: Page) -> Any:
    """What the page's address says."""
    return json.loads(query_of(page)["filter"][0])


def test_filters_of_the_declared_fields(visitor: Visitor, service: Service, holidays: str) -> None:
    page = visitor.visit(service, holidays)
    expect(tiles(page)).to_have_count(4)
    group(page, "place").get_by_role("checkbox", name="Lisbon").check()
    expect(tiles(page)).to_have_count(2)
    assert filter_of(page) == {"place": {"in": ["Lisbon"]}}
    group(page, "place").get_by_role("checkbox", name="Porto").check()
    expect(tiles(page)).to_have_count(3)
    group(page, "stars").get_by_label("from").fill("2")
    page.keyboard.press("Tab")
    expect(tiles(page)).to_have_count(2)
    page.reload()
    expect(tiles(page)).to_have_count(2)
    for place in ("Lisbon", "Porto"):
        group(page, "place").get_by_role("checkbox", name=place).uncheck()
    expect(tiles(page)).to_have_count(3)
    assert filter_of(page) == {"stars": {"gte": 2}}
    group(page, "stars").get_by_label("from").fill("")
    page.keyboard.press("Tab")
    expect(tiles(page)).to_have_count(4)
    assert "filter" not in query_of(page)


def test_a_day_is_that_of_the_place(visitor: Visitor, service: Service) -> None:
    """Issue 21, line 39: taken on 31 May, 20:30 −07:00, which is 1 June in UTC."""
    service.ask("POST", "/api/v1/collections", json={"name": "evenings"})
    data = photograph(6_400, "2026:05:31 20:30:00", "-07:00")
    service.job(params={"collection": "evenings"}, files={"files": ("evening.jpg", data)})
    page = visitor.visit(service, "/?collection=evenings")
    for bound in ("from", "to"):
        group(page, "Taken").get_by_label(bound).fill("2026-05-31")
        page.keyboard.press("Tab")
    expect(tiles(page)).to_have_count(1)
    assert set(filter_of(page)["taken_at"]) == {"gte", "lte"}
    open_first(page)
    expect(dialog(page)).to_contain_text(re.compile(r"May 31, 2026, 8:30\sPM"))


def test_orders_of_the_declared_fields(visitor: Visitor, service: Service, holidays: str) -> None:
    page = visitor.visit(service, holidays)
    expect(tiles(page)).to_have_count(4)
    page.get_by_label("Order").select_option("-stars")
    expect_first(page, "Faro 3")
    page.get_by_label("Order").select_option("stars")
    expect_first(page, "Lisbon 0")


def test_another_collection(visitor: Visitor, service: Service) -> None:
    service.ask("POST", "/api/v1/collections", json={"name": "attic"})
    service.job(
        params={"collection": "attic"},
        files={"files": ("chest.png", png(6_500))},
        data={"caption": "the chest"},
    )
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    page.get_by_label("Collection", exact=True).select_option("attic")
    expect_first(page, "the chest")
    assert query_of(page)["collection"] == ["attic"]
    page.go_back()
    expect_first(page, "green-tree.jpg")
    expect(page.get_by_label("Collection", exact=True)).to_have_value("default")


def test_an_empty_collection_says_where_to_begin(visitor: Visitor, service: Service) -> None:
    service.ask("POST", "/api/v1/collections", json={"name": "void"})
    page = visitor.visit(service, "/?collection=void")
    page.get_by_role("link", name="Add pictures").click()
    expect(page.get_by_role("region", name="Add")).to_be_visible()
