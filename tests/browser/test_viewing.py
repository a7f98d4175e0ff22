"""Somebody looks at one picture, and says what they think of an answer."""

import json
import re

from playwright.sync_api import Locator, Page, expect

from app import VERSION
from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, expect_first, names, open_first, search, settle, tiles
from tests.browser.serving import Service, ended, wait
from tests.fixtures.drawn_pictures import png


def heading(page: Page) -> str:
    return dialog(page).get_by_role("heading", level=2).inner_text()


def test_a_picture_opens_large_with_all_that_is_known_of_it(
    visitor: Visitor, service: Service
) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    assert heading(page) == "green-tree.jpg"
    assert "hit=" in page.url
    expect(dialog(page)).to_contain_text("data/test_images/green-tree.jpg")
    expect(dialog(page)).to_contain_text("384 × 384, JPEG")
    large = dialog(page).get_by_role("img", name="green-tree.jpg", exact=True)
    expect(large).to_have_js_property("complete", value=True)
    assert large.evaluate("one => one.naturalWidth") > 300
    expect(dialog(page).get_by_role("list", name="Similar").get_by_role("link")).to_have_count(12)


def test_left_right_and_escape(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    first, second, third = names(page)[:3]
    open_first(page)
    expect(dialog(page).get_by_role("button", name="Previous picture")).to_be_disabled()
    for key, name in (
        ("ArrowLeft", first),
        ("ArrowRight", second),
        ("ArrowRight", third),
        ("ArrowLeft", second),
    ):
        page.keyboard.press(key)
        expect(dialog(page).get_by_role("heading", level=2)).to_have_text(name)
    page.keyboard.press("Escape")
    expect(dialog(page)).to_be_hidden()
    expect(page).not_to_have_url(re.compile("hit="))
    expect(tiles(page).nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text(second)
    dialog(page).get_by_role("button", name="Close").click()
    expect(dialog(page)).to_be_hidden()


def test_back_closes_it(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    page.go_back()
    expect(dialog(page)).to_be_hidden()
    assert page.url.endswith("/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    page.go_forward()
    expect(dialog(page)).to_be_visible()


def test_back_leaves_full_screen_too(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    dialog(page).get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement")
    page.go_back()
    expect(dialog(page)).to_be_hidden()
    page.wait_for_function("() => !document.fullscreenElement")
    open_first(page)  # a click arrives


def test_its_address_opens_it(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    other = visitor.visit(service, page.url.removeprefix(service.url))
    expect(dialog(other)).to_be_visible()
    assert heading(other) == "green-tree.jpg"
    other.keyboard.press("Escape")
    expect_first(other, "green-tree.jpg")


def test_the_link_to_it_is_copied(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree", permissions=["clipboard-read"])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect_first(page, "green-tree.jpg")
    open_first(page)
    dialog(page).get_by_role("button", name="Copy link").click()
    expect(page.locator("#note")).to_have_text(
        "The link is copied. It works on this computer only."
    )
    expect(page.locator("#note")).to_be_in_viewport()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_searching_on_with_it(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+castle")
    expect_first(page, "castle.webp")
    open_first(page)
    dialog(page).get_by_role("button", name="Search with this").click()
    expect(dialog(page)).to_be_hidden()
    expect_first(page, "castle.webp")
    assert re.search(r"[?&]image=\d+$", page.url)
    page.reload()
    expect_first(page, "castle.webp")


def test_a_similar_picture_opens_too(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    similar = dialog(page).get_by_role("list", name="Similar").get_by_role("link").nth(2)
    name = similar.get_by_role("img").get_attribute("alt")
    similar.click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text(str(name))


def test_it_is_downloaded_under_its_name(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    with page.expect_download() as begun:
        dialog(page).get_by_role("button", name="Download").click()
    assert begun.value.suggested_filename == "green-tree.jpg"
    assert begun.value.path().read_bytes()[:2] == b"\xff\xd8"


def test_a_picture_that_is_gone_is_said(visitor: Visitor, service: Service) -> None:
    visitor.refusals.add(404)
    page = visitor.visit(service, "/?hit=999999999")
    expect(page.get_by_role("alert")).to_contain_text("999999999")


def ratings(service: Service, query: str) -> list[tuple[int | None, int]]:
    """Of a query, as they are kept."""
    lines = service.http.get("/api/v1/feedback/export", params={"format": "jsonl"}).text
    kept = [json.loads(line) for line in lines.splitlines()]
    return [(one["image_id"], one["rating"]) for one in kept if one["query"] == query]


def test_an_answer_and_a_hit_are_rated_and_unrated(visitor: Visitor, service: Service) -> None:
    query = "a castle on a hill"
    page = visitor.visit(service)
    search(page, query)
    answer = page.locator("#answer")
    answer.get_by_role("button", name="Good answer").click()
    expect(answer.get_by_role("button", name="Good answer", pressed=True)).to_be_visible()
    wait(lambda: ratings(service, query) == [(None, 9)])
    answer.get_by_role("button", name="Bad answer").click()
    wait(lambda: ratings(service, query) == [(None, 2)])
    open_first(page)
    image_id = int(re.findall(r"hit=(\d+)", page.url)[0])
    group = dialog(page).get_by_role(
        "radiogroup", name="Does this picture fit what was searched for?"
    )
    group.get_by_role("radio", name="6 of 10").focus()
    page.keyboard.press("ArrowRight")
    wait(lambda: sorted(ratings(service, query), key=str) == [(image_id, 7), (None, 2)])
    visitor.photograph()
    dialog(page).get_by_role("button", name="Undo").click()
    wait(lambda: ratings(service, query) == [(None, 2)])
    expect(group.get_by_role("radio", name="7 of 10")).not_to_be_checked()
    page.keyboard.press("Escape")
    answer.get_by_role("button", name="Undo").click()
    wait(lambda: ratings(service, query) == [])
    expect(answer.get_by_role("button", name="Undo")).to_be_hidden()


def test_a_rating_of_an_answer_that_is_outdated_is_refused_with_words(
    visitor: Visitor, service: Service
) -> None:
    visitor.refusals.add(401)
    page = visitor.visit(service)
    search(page, "a boat")
    page.route(
        "**/api/v1/feedback", lambda route: route.continue_(post_data='{"token":"x","rating":3}')
    )
    page.locator("#answer").get_by_role("button", name="Bad answer").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    expect(page.locator("#answer").get_by_role("button", name="Undo")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_the_worst_queries_are_told_in_the_status_view(visitor: Visitor, service: Service) -> None:
    for query, rating in (("a unicorn", 1), ('<b>bold</b> & "quoted"', 1), ("a good one", 9)):
        found = service.ask("POST", "/api/v1/search", json={"query": query, "limit": 1})
        service.ask("POST", "/api/v1/feedback", json={"token": found["token"], "rating": rating})
    page = visitor.visit(service, "/?view=status")
    worst = page.get_by_role("table", name="Poorly rated searches")
    expect(worst.get_by_role("link", name='<b>bold</b> & "quoted"')).to_be_visible()
    expect(worst.get_by_role("link", name="a good one")).to_have_count(0)  # before: among the worst
    worst.get_by_role("link", name="a unicorn").click()
    settle(page)
    expect(page.locator("#words")).to_have_value("a unicorn")


def test_both_generations_are_side_by_side_in_the_status_view(
    visitor: Visitor, service: Service
) -> None:
    """Issue 18: those of a collection of the test's own, which has no pictures."""
    at = "/api/v1/collections"
    service.ask("POST", at, json={"name": "two-generations"})
    made = service.ask("POST", f"{at}/two-generations/reindex", json={"storage": "bit"})
    assert wait(lambda: ended(service.ask("GET", made["url"])))["status"] == "succeeded"
    page = visitor.visit(service, "/?view=status&collection=two-generations")
    page.get_by_text("Details", exact=True).click()
    rows = page.get_by_role("table", name="Vectors of this collection").get_by_role("row")
    expect(rows.filter(has_text="ready")).to_contain_text("bit")
    expect(rows.filter(has_text="searched")).to_contain_text("halfvec")


def card(page: Page, title: str) -> Locator:
    """A part of the status view."""
    heading = page.get_by_role("heading", name=title, exact=True)
    return page.get_by_role("region", name="Status").locator(".card").filter(has=heading)


def test_the_status_view(visitor: Visitor, service: Service) -> None:
    service.job(files={"files": ("one.png", png(7_000))})
    page = visitor.visit(service, "/?view=status")
    summary = card(page, "Overview")
    for words in (
        r"All \d+ pictures can be found",
        "No pictures are being added",
        r"The disk (has [\d.,]+ \wB|is nearly full)",
        "No backup has been made yet",
        f"Version {VERSION}",
    ):
        expect(summary).to_contain_text(re.compile(words))
    told = page.get_by_role("region", name="Status")
    told.get_by_text("What is new in this version").click()
    expect(summary.get_by_role("heading", name="Added")).to_be_visible()
    expect(summary.get_by_role("listitem").locator("code").first).not_to_be_empty()
    assert violations(page) == []
    expect(card(page, "Model")).to_be_hidden()
    told.get_by_text("Details", exact=True).click()
    for text in ("demo model", "halfvec"):
        expect(told).to_contain_text(text)
    card(page, "Recall").get_by_role("button", name="Measure now").click()
    expect(card(page, "Recall")).to_contain_text(re.compile(r"\d%"), timeout=60_000)
    expect(card(page, "Recall")).to_contain_text(re.compile(r"Worst tenth\d+.*%Unreachable\d"))


def test_what_was_measured_goes_with_its_collection(visitor: Visitor, service: Service) -> None:
    """Before, the figures of one collection stood under the name of the next."""
    service.ask("POST", "/api/v1/collections", json={"name": "unmeasured"})
    page = visitor.visit(service, "/?view=status")
    page.get_by_role("region", name="Status").get_by_text("Details", exact=True).click()
    card(page, "Recall").get_by_role("button", name="Measure now").click()
    expect(card(page, "Recall")).to_contain_text(re.compile(r"\d%"), timeout=60_000)
    page.get_by_label("Collection", exact=True).select_option("unmeasured")
    expect(card(page, "Recall")).not_to_contain_text("%")
    page.close()  # it asks again and again
    service.ask("DELETE", "/api/v1/collections/unmeasured")
