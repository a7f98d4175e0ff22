"""Dates and places in somebody's words become filters, when that is wanted (issue 16)."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import query_of, search, settle, tiles, words
from tests.browser.serving import Service, wait
from tests.browser.test_manners import overflowing
from tests.fixtures.drawn_pictures import jpeg_taken_at


@pytest.fixture(scope="module")
def travels(service: Service) -> Iterator[Service]:
    """Three pictures, whose places and months the service knows by now."""
    service.ask("POST", "/api/v1/collections", json={"name": "travels"})
    places = ("2019:05:31", "Lisbon"), ("2018:05:31", "Lisbon"), ("2019:07:01", "里斯本")
    for number, (day, city) in enumerate(places):
        service.ask(
            "POST",
            "/upload",
            params={"collection": "travels"},
            files={"file": ("a.jpg", jpeg_taken_at(f"{day} 09:00:00", 7_200 + number))},
            data={"metadata": json.dumps({"place": {"city": city}})},
        )
    asked = {"query": "Lisbon", "collection": "travels"}
    wait(lambda: service.ask("POST", "/api/v1/search", json=asked)["suggested_filters"])
    yield service
    service.ask("DELETE", "/api/v1/collections/travels")


def test_a_suggestion_is_applied_and_undone(visitor: Visitor, travels: Service) -> None:
    page = visitor.visit(travels, "/?collection=travels")
    settle(page)
    search(page, "beach in Lisbon 2019")
    expect(tiles(page)).to_have_count(3)  # nothing is applied unseen
    suggested = page.locator("#suggested-filters").get_by_role("button")
    expect(suggested).to_have_text(["only in Lisbon", "only 2019"])
    visitor.photograph("offered")
    page.get_by_role("button", name="only 2019").click()
    expect(tiles(page)).to_have_count(2)
    expect(words(page)).to_have_value("beach in Lisbon")
    bounds = {"gte": "2019-01-01", "lt": "2020-01-01"}
    assert json.loads(query_of(page)["filter"][0]) == {"taken_at": bounds}
    page.get_by_role("button", name="only in Lisbon").click()
    expect(tiles(page)).to_have_count(1)
    expect(words(page)).to_have_value("beach")
    chosen = page.locator("#chosen-filters").get_by_role("button")
    expect(chosen).to_have_text(["2019 ×", "in Lisbon ×"])
    expect(chosen.last).to_be_focused()
    assert violations(page) == []
    chosen.first.click()
    expect(tiles(page)).to_have_count(2)
    expect(words(page)).to_have_value("beach 2019")


def test_a_suggestion_is_ticked_in_the_open_panel(visitor: Visitor, travels: Service) -> None:
    """Before, it was not, and the next change of the cities dropped it."""
    page = visitor.visit(travels, "/?collection=travels")
    settle(page)
    page.get_by_role("button", name="Filters", exact=True).click()
    lisbon = page.get_by_role("checkbox", name="Lisbon")
    expect(lisbon).not_to_be_checked()
    search(page, "beach in Lisbon")
    page.get_by_role("button", name="only in Lisbon").click()
    expect(lisbon).to_be_checked()


def test_suggestions_in_chinese_on_a_phone(visitor: Visitor, travels: Service) -> None:
    page = visitor.visit(travels, "/?collection=travels", language="zh-CN", size=(360, 740))
    settle(page)
    words(page).fill("里斯本的海边2019年7月")
    expect(page.get_by_role("button", name="仅限2019年7月")).to_be_visible()
    page.get_by_role("button", name="仅限里斯本").click()
    expect(tiles(page)).to_have_count(1)
    expect(words(page)).to_have_value("海边2019年7月")
    page.reload()
    expect(page.locator("#chosen-filters").get_by_role("button")).to_have_count(1)
    assert overflowing(page) == []
