"""Somebody looks for pictures."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import (
    SEARCH,
    answer,
    asked_with,
    dropped,
    expect_first,
    names,
    pasted,
    picture,
    query_of,
    scroll_down,
    search,
    settle,
    tiles,
    words,
)
from tests.browser.serving import Service
from tests.fixtures import web_server
from tests.fixtures.drawn_pictures import png


def test_by_words(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    search(page, "a green tree")
    expect_first(page, "green-tree.jpg")
    assert query_of(page) == {"q": ["a green tree"]}
    expect(page.get_by_text("This demo’s model")).to_be_visible()
    expect(tiles(page).first).to_contain_text("name")
    assert re.search("looks like 0.[5-7]", "".join(tiles(page).all_inner_texts()))
    expect(tiles(page).first.get_by_role("img")).to_have_js_property("complete", value=True)


def test_an_example_is_one_click(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    page.get_by_role("button", name="a green tree").click()
    expect_first(page, "green-tree.jpg")
    expect(words(page)).to_have_value("a green tree")


def test_the_newest_pictures_are_there_before_anything_is_asked(
    visitor: Visitor, service: Service
) -> None:
    page = visitor.visit(service)
    settle(page)
    assert len(names(page)) > 20
    expect(answer(page)).to_contain_text("newest of")


def test_by_a_dropped_picture(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    settle(page)
    dropped(page, picture("green-tree.jpg"))
    expect_first(page, "green-tree.jpg")
    expect(page.get_by_role("img", name="green-tree.jpg").first).to_be_visible()
    page.get_by_role("button", name="Search without this picture").click()
    expect(answer(page)).to_contain_text("newest of")


def test_by_a_pasted_picture(
    visitor: Visitor, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("pasted") / "tree.png"
    with Image.open(picture("green-tree.jpg")) as image:
        image.save(file)
    page = visitor.visit(service)
    settle(page)
    pasted(page, file)
    expect_first(page, "green-tree.jpg")


def test_by_a_chosen_picture(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    page.get_by_label("Search with a picture from a file").set_input_files(picture("castle.webp"))
    expect_first(page, "castle.webp")


@pytest.fixture
def address() -> Iterator[str]:
    """Of a picture on a web server."""
    with web_server.serving() as site:
        data = picture("castle.webp").read_bytes()
        site.answers["/castle"] = web_server.http(200, "Content-Type: image/webp", body=data)
        yield f"http://127.0.0.1:{site.port}/castle"


def test_by_the_address_of_a_picture(visitor: Visitor, service: Service, address: str) -> None:
    page = visitor.visit(service)
    settle(page)
    words(page).fill(address)
    page.keyboard.press("Enter")
    expect_first(page, "castle.webp")


def test_an_address_that_cannot_be_read_leaves_no_former_answer(
    visitor: Visitor, service: Service
) -> None:
    """The pictures of the search before lay under the new one."""
    page = visitor.visit(service, "/?q=zebra")
    settle(page)
    words(page).fill("http://example.invalid/x.jpg")
    words(page).press("Enter")
    told = page.get_by_role("alert").filter(has_text="example.invalid")
    expect(told).to_have_text(re.compile("^No address is known"))
    expect(tiles(page)).to_have_count(0)
    expect(answer(page)).to_be_empty()
    (fault,) = visitor.faults  # the browser's own word on the refusal
    assert "422" in fault
    visitor.faults.clear()


def test_what_is_dropped_and_is_no_picture_is_said(
    visitor: Visitor, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("dropped") / "letter.txt"
    file.write_text("Dear reader")
    page = visitor.visit(service)
    settle(page)
    page.wait_for_load_state("networkidle")
    dropped(page, file)
    expect(page.get_by_role("alert")).to_contain_text("not a picture")
    page.get_by_role("alert").get_by_role("button").click()
    expect(page.get_by_role("alert")).to_be_empty()


def test_words_and_picture_with_the_slider_between_them(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    settle(page)
    slider = page.get_by_role("slider")
    expect(slider).to_be_hidden()
    dropped(page, picture("castle.webp"))
    expect_first(page, "castle.webp")
    search(page, "a green tree")
    expect(slider).to_be_visible()
    body = asked_with(page, lambda: slider.fill("0.05"))
    assert [term["weight"] for term in body["query"]] == [0.95, 0.05]
    expect_first(page, "green-tree.jpg")
    body = asked_with(page, lambda: slider.fill("0.95"))
    assert [sorted(term) for term in body["query"]] == [["text", "weight"], ["image", "weight"]]
    expect_first(page, "castle.webp")
    expect(page.get_by_text("Searching with words and picture.")).to_be_visible()
    visitor.photograph("both")
    page.get_by_role("button", name="Picture alone").click()
    expect(words(page)).to_have_value("")
    expect(slider).to_be_hidden()
    assert "q" not in query_of(page)


def test_minus(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    search(page, "a car")
    before = names(page)[:5]
    body = asked_with(page, lambda: page.get_by_label("Without").fill("red"))
    assert {"text": "red", "weight": -0.5} in body["query"]
    expect_first(page, "blue-suv.gif")  # before, the red car.jpg, for its name
    assert not [name for name in names(page)[:3] if "red" in name]
    assert names(page)[:5] != before
    assert query_of(page) == {"q": ["a car"], "without": ["red"]}


def test_the_address_restores_the_search(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=a+car&without=red")
    expect_first(page, "blue-suv.gif")
    expect(words(page)).to_have_value("a car")
    expect(page.get_by_label("Without")).to_have_value("red")
    page.reload()
    expect_first(page, "blue-suv.gif")


def test_back_and_forward(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    settle(page)
    for text in ("a green tree", "a castle"):
        words(page).fill(text)
        page.keyboard.press("Enter")
        expect_first(page, "green-tree.jpg" if "tree" in text else "castle.webp")
    page.go_back()
    expect_first(page, "green-tree.jpg")
    expect(words(page)).to_have_value("a green tree")
    page.go_back()
    expect(answer(page)).to_contain_text("newest of")
    expect(words(page)).to_have_value("")
    page.go_forward()
    page.go_forward()
    expect_first(page, "castle.webp")
    expect(words(page)).to_have_value("a castle")


def test_a_dropped_picture_is_there_again_after_back(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    settle(page)
    dropped(page, picture("castle.webp"))
    expect_first(page, "castle.webp")
    dropped(page, picture("banana.jpg"))
    expect_first(page, "banana.jpg")
    page.go_back()
    expect_first(page, "castle.webp")


def test_typing_on_stops_the_earlier_request(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    settle(page)
    held: list[Route] = []
    stopped: list[str] = []
    page.on("requestfailed", lambda request: stopped.append(request.post_data or ""))

    def hold(route: Route) -> None:
        if not held:
            held.append(route)  # never answered
        else:
            route.continue_()

    page.route(f"**{SEARCH}*", hold)
    with page.expect_request(f"**{SEARCH}*"):
        words(page).press_sequentially("a cas")
    with page.expect_event("requestfailed"):
        words(page).press_sequentially("tle")
    expect_first(page, "castle.webp")
    for body in stopped:  # of a slow machine also what was typed between, or shown before
        (term,) = json.loads(body).get("query", [{"text": ""}])
        assert "a castle".startswith(term["text"])
    expect(page.get_by_role("alert")).to_be_empty()


def test_not_every_letter_asks(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service)
    settle(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    letters = "a castle on a hill"
    words(page).press_sequentially(letters)
    expect_first(page, "castle.webp")
    assert len([url for url in asked if urlsplit(url).path == SEARCH]) < len(letters) / 3


def test_scrolling_loads_more_until_all_are_there(visitor: Visitor, service: Service) -> None:
    name = "paged"
    service.ask("POST", "/api/v1/collections", json={"name": name})
    files = [("files", (f"{number:03}.png", png(5_000 + number))) for number in range(110)]
    job = service.job(params={"collection": name}, files=files)
    assert job["added"] == 110
    page = visitor.visit(service, f"/?collection={name}")
    settle(page)
    first = len(names(page))
    assert first < 110
    for _ in range(30):
        scroll_down(page)
        page.wait_for_timeout(100)
    expect(tiles(page)).to_have_count(110)
    links = tiles(page).evaluate_all("all => all.map(one => one.href)")
    assert len(set(links)) == 110
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()


def test_nothing_here_looks_like_that(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=quarterly+tax+report+of+a+bank")
    expect(answer(page)).to_contain_text("Nothing here looks like that")
    assert names(page)


def test_a_query_that_is_refused_is_said(visitor: Visitor, service: Service) -> None:
    visitor.refusals.add(422)
    page = visitor.visit(service, '/?q=tree&filter={"width":{"gte":"wide"}}')
    expect(page.get_by_role("alert")).to_contain_text("is not a number")


def test_what_is_less_likely_is_folded(visitor: Visitor, service: Service) -> None:
    """Issue 19, item 11: and nothing is sure where nothing matches."""
    page = visitor.visit(service, "/?q=quarterly+tax+report+of+a+bank")
    settle(page)
    expect(answer(page)).to_contain_text("Nothing here looks like that")
    expect(tiles(page)).to_have_count(8)
    assert "confidence" not in page.locator("#grid").evaluate("one => one.innerHTML")
    visitor.photograph("folded")
    page.get_by_role("button", name="Show less likely ones").click()
    expect(tiles(page).nth(8)).to_be_focused()
    assert len(names(page)) > 20
    search(page, "a green tree")
    likely = tiles(page).count()
    assert 8 <= likely < 40
    assert "confidence" in page.locator("#grid").evaluate("one => one.innerHTML")


def test_which_of_several_pictures_is_broken_is_said(
    visitor: Visitor, service: Service, tmp_path: Path
) -> None:
    visitor.refusals.add(422)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(picture("cat.jpg").read_bytes()[:300])
    page = visitor.visit(service, "/?q=a+cat")
    settle(page)
    dropped(page, picture("green-tree.jpg"), broken)
    expect(page.get_by_role("alert")).to_contain_text("broken.jpg: The picture is damaged")


def test_several_dropped_pictures_are_one_query_that_survives_a_reload(
    visitor: Visitor, service: Service
) -> None:
    """Issue 19, items 15 and 17."""
    page = visitor.visit(service)
    settle(page)
    body = asked_with(page, lambda: dropped(page, picture("green-tree.jpg"), picture("cat.jpg")))
    assert [one["weight"] for one in body["query"]] == [0.5, 0.5]
    settle(page)
    assert {"green-tree.jpg", "cat.jpg"} <= set(names(page)[:8])

    def reload() -> None:
        page.reload()

    again = asked_with(page, reload)
    assert again["query"] == body["query"]
    settle(page)
    chip = page.locator("#query-picture")
    expect(chip.get_by_role("img", name="green-tree.jpg + cat.jpg")).to_be_visible()
    visitor.photograph("two")
    chip.get_by_role("button").click()
    expect(answer(page)).to_contain_text("newest of")
