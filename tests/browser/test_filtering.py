"""Somebody looks for pictures of one kind, or in another collection."""

import json

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import expect_first, query_of, tiles
from tests.browser.serving import Service
from tests.drawing import png


def test_filters_of_the_declared_fields(visitor: Visitor, service: Service) -> None:
    name = "holidays"
    fields = {"place": "text", "stars": "number", "printed": "boolean", "with": "tags"}
    service.ask("POST", "/api/v1/collections", json={"name": name, "fields": fields})
    for number, place in enumerate(("Lisbon", "Lisbon", "Porto", "Faro")):
        told = {"place": place, "stars": number + 1, "printed": number % 2 == 0, "with": ["Ann"]}
        service.job(
            params={"collection": name},
            files={"files": (f"{number}.png", png(6_000 + number))},
            data={"caption": f"{place} {number}", "metadata": json.dumps(told)},
        )
    page = visitor.visit(service, f"/?collection={name}")
    expect(tiles(page)).to_have_count(4)
    page.get_by_role("button", name="Filters", exact=True).click()
    places = page.get_by_role("group", name="place")
    places.get_by_role("checkbox", name="Lisbon").check()
    expect(tiles(page)).to_have_count(2)
    assert json.loads(query_of(page)["filter"][0]) == {"place": {"in": ["Lisbon"]}}
    places.get_by_role("checkbox", name="Porto").check()
    expect(tiles(page)).to_have_count(3)
    page.get_by_role("group", name="stars").get_by_label("from").fill("2")
    page.keyboard.press("Tab")
    expect(tiles(page)).to_have_count(2)
    page.reload()
    expect(tiles(page)).to_have_count(2)
    page.get_by_role("button", name="Filters", exact=True).click()
    for name in ("Lisbon", "Porto"):
        places.get_by_role("checkbox", name=name).uncheck()
    expect(tiles(page)).to_have_count(3)
    assert json.loads(query_of(page)["filter"][0]) == {"stars": {"gte": 2}}
    page.get_by_label("Order").select_option("-stars")
    expect_first(page, "Faro 3")
    page.get_by_label("Order").select_option("stars")
    expect_first(page, "Lisbon 1")
    page.locator("#filter-clear").click()
    expect(tiles(page)).to_have_count(4)


def test_another_collection(visitor: Visitor, service: Service) -> None:
    service.ask("POST", "/api/v1/collections", json={"name": "attic"})
    service.job(
        params={"collection": "attic"},
        files={"files": ("chest.png", png(6_500))},
        data={"caption": "the chest"},
    )
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    page.get_by_label("Collection").select_option("attic")
    expect_first(page, "the chest")
    assert query_of(page)["collection"] == ["attic"]
    page.go_back()
    expect_first(page, "green-tree.jpg")
    expect(page.get_by_label("Collection")).to_have_value("default")


def test_an_empty_collection_says_where_to_begin(visitor: Visitor, service: Service) -> None:
    service.ask("POST", "/api/v1/collections", json={"name": "void"})
    page = visitor.visit(service, "/?collection=void")
    page.get_by_role("link", name="Add pictures").click()
    expect(page.get_by_role("region", name="Add")).to_be_visible()
