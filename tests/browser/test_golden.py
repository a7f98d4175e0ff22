"""Somebody marks hits as right or wrong, for comparing models (issue 18, line 15)."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, expect_first, open_first
from tests.browser.serving import Service

QUERIES = "/api/v1/collections/default/golden-queries"


def pressed(page: Page, name: str, is_pressed: str) -> None:
    button = dialog(page).get_by_role("button", name=name, exact=True)
    expect(button).to_have_attribute("aria-pressed", is_pressed)


def press(page: Page, name: str) -> None:
    dialog(page).get_by_role("button", name=name, exact=True).click()


def kept(service: Service) -> list[tuple[str | None, list[int], list[int]]]:
    found: list[dict[str, Any]] = service.ask("GET", QUERIES)["data"]
    return [(one["text"], one["relevant"], one["irrelevant"]) for one in found]


def test_a_hit_is_right_or_wrong_or_neither(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    hit = int(page.url.partition("hit=")[2])
    press(page, "should be found")
    pressed(page, "should be found", "true")
    assert kept(service) == [("a green tree", [hit], [])]
    press(page, "should not be found")
    pressed(page, "should not be found", "true")
    pressed(page, "should be found", "false")
    assert kept(service) == [("a green tree", [], [hit])]
    press(page, "should not be found")
    pressed(page, "should not be found", "false")
    assert kept(service) == [("a green tree", [], [])]


def test_not_for_what_no_golden_query_can_be(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree&without=a+house")
    open_first(page)
    expect(dialog(page).get_by_role("list", name="Similar").get_by_role("link")).to_have_count(12)
    expect(dialog(page).get_by_role("button", name="should be found")).to_have_count(0)
