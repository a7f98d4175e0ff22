"""Somebody looks for pictures by where they were taken (issue 16, the map)."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import query_of, settle, tiles
from tests.browser.serving import Service
from tests.browser.test_manners import SCHEMES, Scheme, overflowing
from tests.fixtures.drawn_pictures import png

PLACES = ((38.71, -9.14), (38.75, -9.2), (41.15, -8.61), (36.72, -4.42))


@pytest.fixture(scope="module")
def mapped(service: Service) -> Iterator[Service]:
    """The service with a further collection, whose pictures have positions."""
    service.ask("POST", "/api/v1/collections", json={"name": "mapped"})
    for number, (latitude, longitude) in enumerate(PLACES):
        told = {"gps": {"latitude": latitude, "longitude": longitude}}
        if number < 2:
            told["place"] = {"city": "Lisbon"}  # type: ignore[dict-item]
        service.ask(
            "POST",
            "/upload",
            params={"collection": "mapped"},
            files={"file": ("a.png", png(7_400 + number))},
            data={"metadata": json.dumps(told)},
        )
    yield service
    service.ask("DELETE", "/api/v1/collections/mapped")


def opened(page: Page, name: str, button: str) -> Locator:
    """The map in the panel of filters."""
    settle(page)
    page.get_by_role("button", name=button, exact=True).click()
    return page.get_by_role("group", name=name, exact=True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_place_on_the_map_shows_its_pictures(
    visitor: Visitor, mapped: Service, scheme: Scheme
) -> None:
    page = visitor.visit(mapped, "/?collection=mapped", scheme=scheme)
    shown = opened(page, "Map", "Filters")
    expect(shown.get_by_role("button")).to_have_count(3)
    assert violations(page) == []
    visitor.photograph("map")
    shown.get_by_role("button", name="Lisbon: 2 pictures").click()
    expect(tiles(page)).to_have_count(2)
    assert set(json.loads(query_of(page)["filter"][0])["position"]["within"]) == {
        "lat",
        "lon",
        "km",
    }
    expect(shown.get_by_role("button")).to_have_count(2)  # taken apart
    page.locator("#chosen-filters").get_by_role("button", name="Lisbon").click()
    expect(tiles(page)).to_have_count(4)


def test_the_map_on_a_phone(visitor: Visitor, mapped: Service) -> None:
    page = visitor.visit(mapped, "/?collection=mapped", size=(360, 740), language="zh-CN")
    shown = opened(page, "地图", "筛选")
    expect(shown.get_by_role("button")).to_have_count(3)
    shown.scroll_into_view_if_needed()
    assert overflowing(page) == []
    assert violations(page) == []


def test_without_positions_there_is_no_map(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    with page.expect_response(lambda answer: "/map" in answer.url):
        shown = opened(page, "Map", "Filters")
    expect(shown).to_have_count(0)
