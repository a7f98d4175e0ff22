"""Somebody looks at a picture closely: the original on zoom, full screen, a slideshow."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, open_first, query_of, settle
from tests.browser.serving import Service
from tests.browser.test_manners import overflowing


def image(page: Page) -> Locator:
    return dialog(page).locator(".stage img")


def scale(page: Page) -> float:
    matrix: str = image(page).evaluate("one => getComputedStyle(one).transform")
    return 1.0 if matrix == "none" else float(matrix.removeprefix("matrix(").split(",")[0])


def opened(visitor: Visitor, service: Service, **options: object) -> Page:
    page = visitor.visit(service, "/?q=a+green+tree", **options)  # type: ignore[arg-type]
    settle(page)
    open_first(page)
    expect(image(page)).to_have_js_property("draggable", value=False)  # zoom has begun
    return page


def test_the_wheel_shows_the_originals_pixels(visitor: Visitor, service: Service) -> None:
    """Issue 19, item 13."""
    page = opened(visitor, service)
    image(page).hover()
    page.mouse.wheel(0, -600)
    expect(image(page)).to_have_attribute("src", re.compile("^blob:"))
    assert image(page).evaluate("one => one.naturalWidth") == 384
    assert scale(page) > 3
    visitor.photograph("zoomed")
    page.keyboard.press("-")
    assert 2 < scale(page) < 3
    page.keyboard.press("0")
    assert scale(page) == 1
    image(page).dblclick()
    assert scale(page) == 2.5
    page.keyboard.press("ArrowRight")
    assert scale(page) == 1
    assert violations(page) == []


def test_two_fingers_and_a_double_tap(visitor: Visitor, service: Service) -> None:
    page = opened(visitor, service, size=(360, 740), has_touch=True, is_mobile=True)
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[int, int]) -> None:
        points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(places)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (160, 200), (200, 200))
    touch("touchMove", (120, 200), (240, 200))
    touch("touchEnd")
    assert 2.5 < scale(page) < 3.5
    expect(image(page)).to_have_attribute("src", re.compile("^blob:"))
    visitor.photograph("phone")
    assert overflowing(page) == []
    name = dialog(page).get_by_role("heading", level=2).inner_text()
    page.keyboard.press("0")
    touch("touchStart", (300, 200))
    touch("touchMove", (100, 200))
    touch("touchEnd")
    expect(dialog(page).get_by_role("heading", level=2)).not_to_have_text(name)


def test_full_screen_and_a_slideshow(visitor: Visitor, service: Service) -> None:
    page = opened(visitor, service)
    dialog(page).get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement?.className.includes('stage')")
    dialog(page).get_by_role("button", name="Full screen").click()
    page.wait_for_function("!document.fullscreenElement")
    page.clock.install()
    name = dialog(page).get_by_role("heading", level=2).inner_text()
    play = dialog(page).get_by_role("button", name="Slideshow")
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    before = query_of(page)["hit"]
    page.clock.run_for(4_100)
    expect(dialog(page).get_by_role("heading", level=2)).not_to_have_text(name)
    assert query_of(page)["hit"] != before
    expect(play).to_be_focused()
    play.click()
    expect(play).to_have_attribute("aria-pressed", "false")


def test_metadata_are_changed_in_the_viewer(visitor: Visitor, service: Service) -> None:
    """Issue 19, item 12."""
    page = visitor.visit(service, "/?q=a+tiger")
    settle(page)
    open_first(page)
    image_id = int(re.search(r"hit=(\d+)", page.url)[1])  # type: ignore[index]
    service.ask("PATCH", f"/api/v1/images/{image_id}", json={"metadata": {"a": "07", "b": [1]}})
    page.reload()
    dialog(page).get_by_text("Change caption and tags").click()
    dialog(page).get_by_label("Value of a").fill("08")
    dialog(page).get_by_label("Value of b").fill("")
    dialog(page).get_by_role("button", name="Add a field").click()
    dialog(page).get_by_label("Field", exact=True).last.fill("c")
    dialog(page).get_by_label("Value", exact=True).last.fill("true")
    visitor.photograph("form")
    dialog(page).get_by_role("button", name="Save").click()
    expect(page.locator("#announcements")).to_contain_text("Saved.")
    assert service.ask("GET", f"/images/{image_id}")["metadata"] == {"a": "08", "c": True}
    service.ask("PATCH", f"/api/v1/images/{image_id}", json={"metadata": {"a": None, "c": None}})
