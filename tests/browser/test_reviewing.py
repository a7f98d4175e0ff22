"""An admin decides on pictures that a gate holds."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, settle, tiles
from tests.browser.serving import PICTURES, Service
from tests.browser.test_manners import LANGUAGES, SCHEMES, Scheme
from tests.browser.test_narrow import PHONE, expect_whole

GATED = "/api/v1/collections/gated"
NAMES = ("cat.jpg", "car.jpg", "camera.jpg", "green-tree.jpg")


@pytest.fixture
def gated(service: Service) -> Iterator[Service]:
    """A collection whose gate holds three of four pictures."""
    service.ask("POST", "/api/v1/collections", json={"name": "gated"})
    labels = [
        {"name": "thing", "phrases": ["a car", "a camera"]},
        {"name": "pet", "phrases": ["a cat"]},
        {"name": "plant", "phrases": ["a tree"]},
    ]
    gate = {"labels": labels, "exclusive": True, "gate": "flag", "gate_labels": ["thing", "pet"]}
    service.ask("PUT", f"{GATED}/label-sets/door", json=gate)
    for name in NAMES:
        sent = {"file": (name, (PICTURES / name).read_bytes())}
        service.ask("POST", "/upload", params={"collection": "gated"}, files=sent)
    yield service
    service.ask("DELETE", GATED)


def link(page: Page) -> Locator:
    return page.get_by_role("navigation").get_by_role("link", name="Review")


def waiting(page: Page) -> Locator:
    return page.get_by_role("region", name="Review").get_by_role("listitem")


def test_held_pictures_are_approved_or_rejected(visitor: Visitor, gated: Service) -> None:
    page = visitor.visit(gated, "/?collection=gated")
    settle(page)
    expect(tiles(page)).to_have_count(1)
    expect(link(page)).to_have_text("Review (3)")
    link(page).click()
    expect(page.get_by_role("heading", name="3 pictures wait for review")).to_be_visible()
    expect(waiting(page)).to_have_count(3)
    expect(waiting(page).first).to_contain_text("door: pet (")
    image = waiting(page).first.get_by_role("img", name="cat.jpg")
    expect(image).to_have_js_property("naturalWidth", 256)
    visitor.photograph("waiting")

    waiting(page).first.get_by_role("button", name="Approve: cat.jpg").press("Enter")
    expect(page.locator("#note")).to_have_text("1 picture is approved.")
    expect(page.get_by_role("heading", name="2 pictures wait for review")).to_be_focused()
    expect(link(page)).to_have_text("Review (2)")

    page.get_by_role("button", name="Reject: car.jpg").click()
    expect(dialog(page)).to_contain_text("deleted for good")
    dialog(page).get_by_role("button", name="Cancel").click()
    expect(waiting(page)).to_have_count(2)
    page.get_by_role("button", name="Reject all shown").click()
    dialog(page).get_by_role("button", name="Delete").click()
    expect(waiting(page)).to_have_count(0)
    expect(link(page)).to_be_hidden()

    page.get_by_role("link", name="Search", exact=True).click()
    page.reload()
    expect(tiles(page)).to_have_count(2)
    page.locator("#collection").select_option("default")
    settle(page)
    expect(link(page)).to_be_hidden()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("tag", LANGUAGES)
def test_the_review_is_whole_on_a_phone(
    visitor: Visitor, gated: Service, tag: str, scheme: Scheme
) -> None:
    address = "/?view=review&collection=gated"
    page = visitor.visit(gated, address, language=LANGUAGES[tag], scheme=scheme, **PHONE)
    expect(page.locator("#review-view li")).to_have_count(3)
    expect(page.locator("nav [data-view=review]")).to_contain_text("(3)")
    assert violations(page) == []
    expect_whole(page, "review")
    visitor.photograph()
    page.locator("#review-view li .bad").first.click()
    assert violations(page) == []
    expect_whole(page, "reject")


def test_an_upload_that_is_held_says_so(visitor: Visitor, gated: Service) -> None:
    """Before, it was a remark in English, with a link to a picture that nobody may see."""
    page = visitor.visit(gated, "/?view=add&collection=gated", language="de-DE")
    page.locator(".drop input[type=file]").first.set_input_files(PICTURES / "red-car.png")
    told = page.locator(".uploads li")
    expect(told).to_contain_text("wartet auf Prüfung")
    expect(told.get_by_role("link")).to_have_count(0)
    expect(page.locator("nav [data-view=review]")).to_have_text("Prüfen (4)")
