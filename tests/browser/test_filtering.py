"""Somebody looks for pictures of one kind, or in another collection."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, expect_first, open_first, query_of, settle, tiles
from tests.browser.serving import Service, ended, wait
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


def test_a_rare_tag_is_found_by_typing(visitor: Visitor, service: Service) -> None:
    """The panel lists the 50 most frequent values alone."""
    service.ask("POST", "/api/v1/collections", json={"name": "rare"})
    common = [f"common {number:02}" for number in range(50)]
    for number, tags in enumerate((common, common, [*common[:3], "Äpfel"])):
        service.job(
            params={"collection": "rare"},
            files={"files": (f"{number}.png", png(6_700 + number))},
            data={"metadata": json.dumps({"tags": tags})},
        )
    page = visitor.visit(service, "/?collection=rare")
    shown = group(page, "Tags")
    expect(shown.get_by_role("checkbox")).to_have_count(50)
    typed = shown.get_by_label("Tags: another one")
    typed.press_sequentially("äp")
    expect(shown.locator("option")).to_have_attribute("value", "Äpfel")
    typed.press_sequentially("fel")
    page.keyboard.press("Enter")
    expect(tiles(page)).to_have_count(1)
    assert filter_of(page) == {"tags": {"in": ["Äpfel"]}}
    expect(shown.get_by_role("checkbox", name="Äpfel")).to_be_checked()
    shown.get_by_role("checkbox", name="common 07").check()
    expect(tiles(page)).to_have_count(3)
    shown.get_by_role("checkbox", name="common 07").uncheck()
    shown.get_by_role("checkbox", name="Äpfel").uncheck()
    expect(tiles(page)).to_have_count(3)
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


def test_labels_filter_and_are_told(visitor: Visitor, service: Service) -> None:
    """Issue 17, "Labels": a label set appears as a facet, and in the viewer."""
    sets = "/api/v1/collections/default/label-sets/kind"
    plants = {"name": "plant", "phrases": ["a tree", "a rose", "a tulip", "a cactus"]}
    put = service.ask("PUT", sets, json={"labels": [plants], "exclusive": True})
    wait(lambda: ended(service.ask("GET", f"/api/v1/jobs/{put['job_id']}")))
    page = visitor.visit(service)
    kinds = group(page, "kind")
    expect(kinds.get_by_role("checkbox", name=re.compile("none of these"))).to_be_visible()
    kinds.get_by_role("checkbox", name=re.compile("plant")).check()
    expect(page.get_by_role("button", name="kind: plant")).to_be_visible()
    assert filter_of(page) == {"labels.kind": {"in": ["plant"]}}
    settle(page)
    open_first(page)
    expect(dialog(page).get_by_text(re.compile(r"plant \(\d+%\)"))).to_be_visible()
    service.ask("DELETE", sets)


def test_a_filter_that_nobody_can_choose_is_still_taken_away(
    visitor: Visitor, service: Service
) -> None:
    """Written into an address by hand: before, a script failed and no button showed it."""
    visitor.refusals.add(422)
    wrong = '{"format":{"in":"JPEG"},"or":[null],"position":{"within":null},"taken_at":null}'
    page = visitor.visit(service, f"/?q=tree&filter={wrong}")
    chips = page.locator("#chosen-filters").get_by_role("button")
    expect(chips).to_have_count(4)
    for left in (3, 2, 1):
        chips.last.press("Enter")
        expect(chips).to_have_count(left)
        expect(chips.last).to_be_focused()
    chips.last.press("Enter")
    expect(page.locator("#filter-button")).to_be_focused()
    settle(page)
    expect(page.get_by_role("alert")).to_be_empty()
