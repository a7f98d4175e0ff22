"""Somebody looks for pictures by where they were taken (issue 16, the map)."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from app.settings import Settings
from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import query_of, settle, tiles
from tests.browser.serving import Service, bound, running, wait
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


@dataclass
class TileServer:
    """A server of tiles on loopback; `asked` is what it was asked for."""

    origin: str = ""
    asked: set[str] = field(default_factory=set)
    referrers: set[str | None] = field(default_factory=set)


@pytest.fixture
def tile_server() -> Iterator[TileServer]:
    found = TileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.add(self.path)
            found.referrers.add(self.headers["Referer"])
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.end_headers()
            self.wfile.write(png(7_500))

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.origin = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_tiles_lie_below_the_marks_where_a_setting_names_their_server(
    visitor: Visitor, mapped: Service, tile_server: TileServer
) -> None:
    """Issue 16, the map: no foreign tiles unless a setting names their server."""
    settings = Settings(
        testing=True,
        search_rate="none",
        map_tiles=f"{tile_server.origin}/{{z}}/{{x}}/{{y}}.png",
        map_attribution="© people who draw maps",
    )
    with bound() as listener, httpx.Client() as http:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with running(settings, mapped.services, listener):
            page = visitor.visit(Service(address, mapped.services, http), "/?collection=mapped")
            shown = opened(page, "Map", "Filters")
            expect(shown.get_by_role("button")).to_have_count(3)
            expect(shown.get_by_text("© people who draw maps")).to_be_visible()
            wait(lambda: len(tile_server.asked) == shown.locator("img.map-tile").count())
            drawn = "images => images.every((one) => one.complete && one.naturalWidth > 0)"
            wait(lambda: shown.locator("img.map-tile").evaluate_all(drawn))
            visitor.photograph("map-tiles")
            marks = shown.get_by_role("button")
            lisbon = shown.get_by_role("button", name="Lisbon: 2 pictures").bounding_box()
            assert lisbon is not None
            assert marks.count() == 3
            tile = shown.locator('img.map-tile[src$="/7/60/49.png"]').bounding_box()
    assert "/7/60/49.png" in tile_server.asked, "Lisbon's, by the formula of Web Mercator"
    assert tile is not None
    assert tile["x"] < lisbon["x"] + lisbon["width"] / 2 < tile["x"] + tile["width"]
    assert tile["y"] < lisbon["y"] + lisbon["height"] / 2 < tile["y"] + tile["height"]
    assert tile_server.referrers == {None}
    elsewhere = f"asked elsewhere: {tile_server.origin}/"
    assert all(fault.startswith(elsewhere) for fault in visitor.faults), visitor.faults
    visitor.faults.clear()


def test_without_the_setting_no_tile_is_asked_for(visitor: Visitor, mapped: Service) -> None:
    page = visitor.visit(mapped, "/?collection=mapped")
    shown = opened(page, "Map", "Filters")
    expect(shown.get_by_role("button")).to_have_count(3)
    expect(shown.locator("img.map-tile")).to_have_count(0)
