"""What the page tells stays until it is read: no answer that comes later takes it away."""

import re
from pathlib import Path

from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import SEARCH, dropped, expect_first, search, settle, tiles, words
from tests.browser.serving import Service


def alert(page: Page) -> Locator:
    return page.get_by_role("alert")


def held_answers(page: Page) -> list[Route]:
    """The answers to the searches after the first one: they come when they are let through."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        is_first = "cursor" not in (route.request.post_data or "")
        route.continue_() if is_first else held.append(route)

    page.route(f"**{SEARCH}*", hold)
    return held


def let_through(page: Page, held: list[Route]) -> None:
    """Answer the search for the second page, and wait until its pictures are there."""
    shown = tiles(page).count()
    (route,) = held
    route.continue_()
    page.wait_for_function("(n) => document.querySelectorAll('#grid a').length > n", arg=shown)


def test_a_message_outlives_an_answer_that_comes_later(
    visitor: Visitor, service: Service, tmp_path: Path
) -> None:
    """Issue 19: before, the second page of pictures took every message away."""
    visitor.refusals.add(404)
    page = visitor.visit(service, "/readyz")
    held = held_answers(page)
    with page.expect_request(lambda request: "cursor" in (request.post_data or "")):
        page.goto("/?hit=999999999")
    expect(alert(page)).to_contain_text("999999999")
    settle(page)
    dropped(page, tmp_path)
    expect(alert(page)).to_contain_text("not a picture")
    let_through(page, held)
    expect(alert(page)).to_contain_text("999999999")  # nor has the second message replaced it
    expect(alert(page)).to_contain_text("not a picture")


def test_what_is_told_to_listeners_outlives_what_is_told_later(
    visitor: Visitor, service: Service
) -> None:
    """Before, the sentence about the second page of pictures took the place of any other."""
    page = visitor.visit(service, "/readyz")
    held = held_answers(page)
    with page.expect_request(lambda request: "cursor" in (request.post_data or "")):
        page.goto("/")
    settle(page)
    told = page.locator("#announcements")
    expect(told).to_contain_text("The newest of")
    let_through(page, held)
    expect(told).to_contain_text("80 pictures shown.")
    expect(told).to_contain_text("The newest of")


def test_a_refusal_goes_when_the_same_is_answered(visitor: Visitor, service: Service) -> None:
    visitor.refusals.add(422)
    page = visitor.visit(service, '/?q=tree&filter={"width":{"gte":"wide"}}')
    expect(alert(page)).to_contain_text("is not a number")
    page.locator("#chosen-filters").get_by_role("button").click()
    expect(alert(page)).to_be_empty()


def test_each_message_is_closed_by_itself(
    visitor: Visitor, service: Service, tmp_path: Path
) -> None:
    visitor.refusals.add(404)
    page = visitor.visit(service, "/?hit=999999999")
    settle(page)
    dropped(page, tmp_path)
    messages = alert(page).get_by_role("paragraph")
    expect(messages).to_have_count(2)
    messages.filter(has_text="999999999").get_by_role("button", name="Close").click()
    expect(messages).to_have_count(1)
    expect(messages).to_contain_text("not a picture")


def test_a_model_that_knows_only_english_is_told_until_the_note_is_closed(
    visitor: Visitor, service: Service
) -> None:
    """Issue 18, line 23. The service here has the demo model: the browser is told otherwise."""

    def in_english_only(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "english_only": True})

    page = visitor.visit(service, "/readyz")
    page.route("**/api/v1/collections/default", in_english_only)
    page.goto("/")
    settle(page)
    note = page.locator("#answer").get_by_text("understands only English")
    search(page, "a tree")
    expect(note).to_be_hidden()
    words(page).fill("狗")
    expect(note).to_be_visible()
    page.locator("#answer").get_by_role("button", name="Close").click()
    with page.expect_response(f"**{SEARCH}*"):
        words(page).fill("猫")
    settle(page)
    expect(note).to_be_hidden()
    german = visitor.visit(service, "/readyz", language="de-DE")
    german.route("**/api/v1/collections/default", in_english_only)
    german.goto("/")
    expect(german.locator("#answer").get_by_text("versteht nur Englisch")).to_be_visible()


def test_a_file_that_only_looks_like_a_picture_does_not_stay(
    visitor: Visitor, service: Service, tmp_path: Path
) -> None:
    """Before, its chip stayed in the search field, and every later search was refused."""
    visitor.refusals.add(415)
    file = tmp_path / "letter.png"
    file.write_text("Dear reader")
    page = visitor.visit(service, "/?q=a+green+tree")
    settle(page)
    page.wait_for_load_state("networkidle")
    dropped(page, file)
    expect(page.get_by_role("alert")).to_have_text(re.compile("^letter.png: This is not a picture"))
    expect(page.locator("#query-picture")).to_be_hidden()
    expect_first(page, "green-tree.jpg")
    search(page, "a cat")
    expect_first(page, "cat.jpg")
    page.reload()
    expect_first(page, "cat.jpg")
