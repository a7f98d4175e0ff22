"""With keys on: one is asked for, kept for the tab or the device, and sent with every request."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.browser.conftest import Locked, Visitor
from tests.browser.seeing import choose, expect_first, payload, settle, tiles
from tests.fixtures.drawn_pictures import png


def give(page: Page, key: str, *, remember: bool = False) -> None:
    asked = page.get_by_role("dialog", name="API key")
    expect(asked).to_be_visible()
    asked.get_by_label("API key").fill(key)
    asked.get_by_label("Remember it on this device").set_checked(remember)
    asked.get_by_role("button", name="Use key").click()


def test_a_key_is_asked_for_and_opens_all(visitor: Visitor, locked: Locked) -> None:
    visitor.refusals.add(401)
    page = visitor.visit(locked.service, "/?q=a+green+tree")
    asked = page.get_by_role("dialog", name="API key")
    expect(asked).to_be_visible()
    assert asked.get_by_label("API key").get_attribute("type") == "password"
    visitor.photograph()
    give(page, locked.key)
    expect_first(page, "green-tree.jpg")
    first = tiles(page).first.get_by_role("img")
    expect(first).to_have_attribute("src", re.compile(r"^api/v1/.*&signature="))
    expect(first).to_have_js_property("naturalWidth", 256)
    settle(page)
    tiles(page).first.click()
    expect(page.get_by_role("dialog")).to_contain_text("384 × 384")
    with page.expect_download() as begun:
        page.get_by_role("dialog").get_by_role("link", name="Download").click()
    assert begun.value.suggested_filename == "green-tree.jpg"
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("hit="))  # it goes back, and a reload would cross that
    page.reload()
    expect_first(page, "green-tree.jpg")


def test_the_key_is_of_the_tab_alone_and_in_no_address(visitor: Visitor, locked: Locked) -> None:
    visitor.refusals.add(401)
    page = visitor.visit(locked.service)
    asked: list[str] = []
    page.context.on("request", lambda request: asked.append(request.url))
    give(page, locked.key)
    expect(tiles(page)).to_have_count(5)
    assert locked.key not in page.url
    assert not [url for url in asked if locked.key in url]
    assert page.evaluate("localStorage.length") == 0
    assert locked.key not in page.evaluate("document.cookie")
    other = page.context.new_page()
    other.goto("/")
    expect(other.get_by_role("dialog", name="API key")).to_be_visible()
    expect(tiles(other)).to_have_count(0)


def test_a_key_that_is_remembered_opens_later_tabs(visitor: Visitor, locked: Locked) -> None:
    visitor.refusals.add(401)
    page = visitor.visit(locked.service)
    give(page, locked.key, remember=True)
    expect(tiles(page)).to_have_count(5)
    other = page.context.new_page()
    other.goto("/")
    expect(tiles(other)).to_have_count(5)
    other.get_by_title("API key").click()
    other.get_by_role("button", name="Forget key").click()
    other.reload()
    expect(other.get_by_role("dialog", name="API key")).to_be_visible()


def test_a_wrong_key_is_asked_for_again_and_forgotten(visitor: Visitor, locked: Locked) -> None:
    visitor.refusals.add(401)
    page = visitor.visit(locked.service)
    asked = page.get_by_role("dialog", name="API key")
    asked.get_by_label("API key").fill("isk_1")
    page.evaluate("dispatchEvent(new Event('keyneeded'))")  # another request was refused meanwhile
    expect(asked.get_by_label("API key")).to_have_value("isk_1")
    give(page, "isk_1_" + "A" * 43)
    expect(asked).to_contain_text("if it is not accepted")
    give(page, locked.key)
    expect(tiles(page)).to_have_count(5)
    page.get_by_role("button", name="API key").click()
    asked.get_by_role("button", name="Forget key").click()
    expect(asked).to_be_visible()
    for _ in range(20):  # each request that is refused later asks again
        page.keyboard.press("Escape")
        page.wait_for_timeout(200)
    expect(asked).to_be_hidden()


def test_pictures_are_handed_in_and_jobs_followed_with_the_key(
    visitor: Visitor, locked: Locked
) -> None:
    visitor.refusals.add(401)
    headers = {"Authorization": f"Bearer {locked.key}"}
    locked.service.ask("POST", "/api/v1/collections", json={"name": "mine"}, headers=headers)
    page = visitor.visit(locked.service, "/?view=add&collection=mine")
    give(page, locked.key)
    choose(page, payload("own.png", png(30_000)))
    row = page.locator(".files").get_by_role("listitem")
    expect(row).to_contain_text("added", timeout=30_000)
    assert urlsplit(page.url).query == "view=add&collection=mine"
    page.get_by_role("link", name="Status").click()
    expect(page.get_by_role("region", name="Status")).to_contain_text("demo model")
