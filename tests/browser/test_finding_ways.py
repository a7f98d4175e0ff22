"""Somebody looks along the time, by suggestions, recent searches and filters in force."""

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import answer, dialog, query_of, search, settle, tiles, words
from tests.browser.serving import Service
from tests.browser.test_manners import SCHEMES, Scheme, overflowing
from tests.fixtures.drawn_pictures import jpeg_taken_at

DAYS = ("2019:05:31 10:00:00", "2019:05:01 09:00:00", "2019:04:02 08:00:00", "2007:01:09 08:00:00")
VIEW = "/?collection=dated&order=-taken_at"


@pytest.fixture(scope="module")
def dated(service: Service) -> Iterator[Service]:
    """The service with a further collection: four pictures with dates, tags and a person."""
    service.ask("POST", "/api/v1/collections", json={"name": "dated"})
    for number, day in enumerate(DAYS):
        told = {"tags": ["beach", f"bear {number}"], "people": ["Béa"]}
        service.ask(
            "POST",
            "/upload",
            params={"collection": "dated"},
            files={"file": (f"{number}.jpg", jpeg_taken_at(day, 7_000 + number))},
            data={"metadata": json.dumps(told)},
        )
    yield service
    service.ask("DELETE", "/api/v1/collections/dated")


def rail(page: Page) -> Locator:
    return page.get_by_role("navigation", name="Months")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_month_of_the_rail_is_jumped_to(visitor: Visitor, dated: Service, scheme: Scheme) -> None:
    """Issue 19, item 13."""
    page = visitor.visit(dated, VIEW, scheme=scheme)
    settle(page)
    expect(tiles(page)).to_have_count(4)
    expect(answer(page)).to_contain_text("4 pictures, in the chosen order")  # not "the newest"
    expect(rail(page).get_by_role("link")).to_have_text(["May 2", "April 1"])
    visitor.photograph("wide")
    rail(page).get_by_role("link", name="April").click()
    expect(tiles(page)).to_have_count(2)
    expect(rail(page).get_by_role("link", name="April")).to_have_attribute("aria-current", "date")
    rail(page).get_by_text("2007").click()
    rail(page).get_by_role("link", name="January").click()
    expect(tiles(page)).to_have_count(1)
    assert query_of(page)["at"] == ["2007-01"]
    assert violations(page) == []
    rail(page).get_by_role("link", name="All months").click()  # before, there was no way back
    expect(tiles(page)).to_have_count(4)
    expect(rail(page).get_by_role("link", name="All months")).to_have_count(0)
    page.go_back()
    expect(tiles(page)).to_have_count(1)
    page.go_back()
    expect(tiles(page)).to_have_count(2)


def test_the_rail_on_a_phone(visitor: Visitor, dated: Service) -> None:
    page = visitor.visit(dated, f"{VIEW}&at=2019-05", size=(360, 740), language="zh-CN")
    settle(page)
    expect(page.locator("#rail").get_by_role("link")).to_have_count(3)  # one leads back to all
    assert overflowing(page) == []


def test_suggestions_follow_what_is_typed(visitor: Visitor, dated: Service) -> None:
    page = visitor.visit(dated, "/?collection=dated")
    settle(page)
    with page.expect_response(re.compile("/suggestions")):
        words(page).press_sequentially("blue bea")
    offered = page.locator("#suggestions option")
    expect(offered.first).to_have_attribute("value", "blue beach")
    expect(offered.first).to_have_attribute("label", "beach (4)")


def test_keys_lead_to_the_field_and_recent_searches_stay(
    visitor: Visitor, service: Service
) -> None:
    page = visitor.visit(service, "/?view=status")
    expect(page.locator("#status-view")).to_be_visible()
    page.keyboard.press("/")
    expect(words(page)).to_be_focused()
    search(page, "a cat")
    words(page).press("Enter")
    search(page, "a red car")
    tiles(page).first.click()
    expect(dialog(page)).to_be_visible()  # else Escape comes before it: its script is loaded first
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    expect(words(page)).to_be_focused()
    search(page, "")
    recent = page.locator("#recent")
    expect(recent.get_by_role("button")).to_have_text(["a red car", "a cat", "Clear"])
    page.reload()
    visitor.photograph("recent")
    recent.get_by_role("button", name="a cat").click()
    expect(answer(page)).to_contain_text(re.compile("best of|words first"))
    expect(words(page)).to_have_value("a cat")
    page.goto("/")
    recent.get_by_role("button", name="Clear").click()
    expect(recent).to_be_hidden()
    page.reload()
    settle(page)
    expect(recent).to_be_hidden()


def test_a_closed_picture_does_not_take_the_focus_from_the_field(
    visitor: Visitor, service: Service
) -> None:
    """A dialog's event `close` comes a moment after it: the next key may have been pressed."""
    page = visitor.visit(service, "/?q=a+cat")
    tiles(page).first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.evaluate("document.querySelector('dialog[open]').close(); words.focus()")
    expect(page).to_have_url(re.compile("q=a(\\+|%20)cat$"))
    expect(words(page)).to_be_focused()


def test_filters_in_force_are_chips_and_choices_have_counts(
    visitor: Visitor, dated: Service
) -> None:
    page = visitor.visit(dated, "/?collection=dated")
    settle(page)
    page.get_by_role("button", name="Filters", exact=True).click()
    page.get_by_role("checkbox", name="bear 1").check()
    expect(tiles(page)).to_have_count(1)
    expect(page.get_by_text("beach 4")).to_be_visible()
    chip = page.get_by_role("button", name="Without the filter Tags: bear 1")
    assert violations(page) == []
    visitor.photograph("chips")
    chip.click()
    expect(tiles(page)).to_have_count(4)
    expect(chip).to_have_count(0)
    expect(page.get_by_role("checkbox", name="bear 1")).not_to_be_checked()
    page.get_by_role("checkbox", name="bear 2").check()  # before, the panel brought back the other
    expect(tiles(page)).to_have_count(1)
    assert json.loads(query_of(page)["filter"][0]) == {"tags": {"in": ["bear 2"]}}
