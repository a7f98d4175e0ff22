"""With keys on: one is asked for, kept for the tab or the device, and sent with every request."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Locked, Visitor
from tests.browser.seeing import choose, expect_first, payload, settle, tiles
from tests.fixtures.drawn_pictures import png


def give(page: Page, key: str, *, remember: bool = False, is_wrong: bool = False) -> None:
    asked = page.get_by_role("dialog", name="API key")
    expect(asked).to_be_visible()
    asked.get_by_label("API key").fill(key)
    asked.get_by_label("Remember it on this device").set_checked(remember)
    asked.get_by_role("button", name="Use key").click()
    if not is_wrong:
        expect(asked).to_be_hidden()


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
        page.get_by_role("dialog").get_by_role("button", name="Download").click()
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
    """Before, it was refused behind the dialog: "The API key is unknown, revoked or expired"."""
    visitor.refusals.add(401)
    page = visitor.visit(locked.service)
    asked = page.get_by_role("dialog", name="API key")
    asked.get_by_label("API key").fill("isk_1")
    page.evaluate("dispatchEvent(new Event('keyneeded'))")  # another request was refused meanwhile
    expect(asked.get_by_label("API key")).to_have_value("isk_1")
    wrong = page.get_by_text("This key is not accepted.")
    for key in ("isk_1_" + "A" * 43, "Schlüssel", "密钥"):  # no header can hold the last one
        give(page, key, is_wrong=True)
        expect(asked.locator(wrong)).to_be_visible()
    visitor.photograph("refused")
    assert violations(page) == []
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


def test_what_is_locked_is_told_in_the_readers_language(visitor: Visitor, locked: Locked) -> None:
    """Before: "An API key is needed: send Authorization: Bearer <key> or X-API-Key: <key>."."""
    visitor.refusals.add(401)
    page = visitor.visit(locked.service, language="de-DE")
    page.evaluate("sessionStorage.apiKey = 'isk_1_ended'")
    page.reload()
    asked = page.get_by_role("dialog", name="API-Schlüssel")
    expect(asked).to_contain_text("Dieser Schlüssel wird nicht angenommen.")
    expect(asked.get_by_label("API-Schlüssel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#alerts")).to_contain_text("Diese Bildersammlung ist gesperrt.")
    expect(page.locator("#alerts")).not_to_contain_text("Bearer")


def test_what_a_dialog_would_cover_is_told_in_it(visitor: Visitor, locked: Locked) -> None:
    """An opened picture cannot be deleted: before, nothing was to be seen."""
    visitor.refusals |= {401, 503}
    page = visitor.visit(locked.service, "/?q=a+green+tree")
    give(page, locked.key)
    settle(page)
    told = {"code": "database_busy", "detail": "The database is busy."}
    page.route("**/images/delete", lambda route: route.fulfill(status=503, json=told))
    tiles(page).first.click()
    shown = page.get_by_role("dialog")
    shown.get_by_role("button", name="Delete").click()
    alert = shown.get_by_role("alert").get_by_text("The database is busy.")
    alert.click(trial=True)  # nothing lies over it
    shown.get_by_role("alert").get_by_role("button", name="Close").click()
    expect(alert).to_be_hidden()
    page.keyboard.press("Escape")
    expect(shown).to_be_hidden()
    expect(page.locator("body > #notices")).to_be_attached()


def test_one_sentence_is_said_once_and_lies_over_no_button(
    visitor: Visitor, locked: Locked
) -> None:
    """Before, two equal messages lay over the dialog of a phone."""
    visitor.refusals.add(401)
    for language, use in (("en-GB", "Use key"), ("de-DE", "Schlüssel verwenden")):
        page = visitor.visit(locked.service, size=(360, 740), language=language)
        page.wait_for_load_state("networkidle")
        expect(page.locator("#alerts p")).to_have_count(1)
        asked = page.get_by_role("dialog")
        for button in asked.locator("form").get_by_role("button").all():
            button.click(trial=True)
        expect(asked.get_by_role("button", name=use)).to_be_visible()
        visitor.photograph()
