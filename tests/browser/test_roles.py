"""The page offers what the reader's key allows, and nothing else (issue 19, line 12)."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from app.access import api_keys
from tests.browser.axe import violations
from tests.browser.conftest import Locked, Visitor
from tests.browser.seeing import dialog, settle, tiles
from tests.browser.serving import PICTURES, index, serving
from tests.browser.test_keys import give

FORBIDDEN = [
    "Edit",
    "Move",
    "Delete",
    "should be found",
    "should not be found",
    "Cancel",
    "Try again",
]


def key_of(locked: Locked, role: str) -> str:
    made: dict[str, str] = locked.service.ask(
        "POST",
        "/api/v1/keys",
        json={"name": f"a {role}", "role": role},
        headers={"Authorization": f"Bearer {locked.key}"},
    )
    return made["key"]


def opened(visitor: Visitor, locked: Locked, role: str, **options: object) -> Page:
    visitor.refusals.add(401)  # until the key is given
    page = visitor.visit(locked.service, "/?q=a+green+tree", **options)  # type: ignore[arg-type]
    give(page, key_of(locked, role))
    expect(page.locator("html")).to_have_attribute("data-role", role)
    settle(page)
    return page


def expect_none(page: Page) -> None:
    for name in FORBIDDEN:
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


def test_a_reader_is_offered_nothing_that_would_be_refused(
    visitor: Visitor, locked: Locked
) -> None:
    page = opened(visitor, locked, "reader")
    expect(page.get_by_role("link", name="Add", exact=True)).to_be_hidden()
    expect(page.get_by_role("button", name="Menu")).to_be_hidden()
    page.get_by_role("button", name="Select", exact=True).click()
    page.get_by_role("button", name="All loaded so far").click()
    expect(page.get_by_role("button", name="Download")).to_be_enabled()
    expect_none(page)
    page.keyboard.press("Escape")
    tiles(page).first.click()
    expect(dialog(page)).to_contain_text("384 × 384")
    expect(dialog(page).get_by_text("Change caption and tags")).to_be_hidden()
    expect_none(page)
    visitor.photograph("picture")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Status").click()
    status = page.get_by_role("region", name="Status")
    expect(status).to_contain_text("No pictures are being added")
    status.get_by_text("Details", exact=True).click()
    for title in ("Poorly rated searches", "Recall"):
        expect(status.get_by_role("heading", name=title)).to_have_count(0)
    status.get_by_role("link", name="See the jobs").click()
    jobs = page.get_by_role("region", name="Add")
    expect(jobs.get_by_role("listitem")).not_to_have_count(0)
    expect(jobs.get_by_label("Choose files")).to_be_hidden()
    expect(jobs.get_by_text("From web addresses")).to_be_hidden()
    expect_none(page)
    assert violations(page) == []


def test_a_reader_on_a_phone_has_the_key_and_the_language_in_the_menu(
    visitor: Visitor, locked: Locked
) -> None:
    page = opened(visitor, locked, "reader", size=(360, 740))
    page.get_by_role("button", name="Menu").click()
    expect(dialog(page).get_by_role("button", name="API key")).to_be_visible()
    expect(dialog(page).get_by_role("button", name="New collection")).to_be_hidden()
    assert violations(page) == []


def test_a_writer_adds_and_deletes_but_makes_no_collection(
    visitor: Visitor, locked: Locked
) -> None:
    page = opened(visitor, locked, "writer", size=(360, 740))
    expect(page.get_by_role("link", name="Add", exact=True)).to_be_visible()
    page.get_by_role("button", name="Select", exact=True).click()
    for name in ("Edit", "Move", "Download", "Delete"):
        expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    tiles(page).first.click()
    page.get_by_role("button", name="Move", exact=True).click()
    expect(dialog(page).get_by_role("option", name="New collection")).to_have_count(0)
    to = dialog(page).get_by_label("To the collection")
    assert to.evaluate("one => one.required")  # whether or not there is another one to choose
    dialog(page).get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Menu").click()
    expect(dialog(page).get_by_role("button", name="New collection")).to_be_hidden()


@pytest.fixture
def seen_by_all(
    browser: Browser, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    """A service that everybody may search, and the key of somebody who may rate."""
    folder = tmp_path_factory.mktemp("seen")
    pictures = folder / "pictures"
    pictures.mkdir()
    shutil.copy(PICTURES / "cat.jpg", pictures)
    changes = {"test_images_dir": pictures, "allow_anonymous": "read"}
    with serving(server_url, "browser_seen", folder, **changes) as served:
        index(served.services, pictures)
        with served.services.sessions.begin() as session:
            _, key = api_keys.create(session, "default", "test", "reader", None)
        yield Locked(served, key)


def test_without_a_key_nobody_is_asked_to_rate(seen_by_all: Locked, visitor: Visitor) -> None:
    """Before, every rating was refused, with a sentence about a key that there was not."""
    page = visitor.visit(seen_by_all.service, "/?q=a+cat")
    expect(page.locator("html")).to_have_attribute("data-role", "reader")
    settle(page)
    expect(page.get_by_role("button", name="Good answer")).to_be_hidden()
    page.get_by_title("API key").click()
    give(page, seen_by_all.key)
    expect(page.get_by_role("button", name="Good answer")).to_be_visible()
