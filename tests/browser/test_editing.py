"""Somebody changes what is said of a picture, and looks through days."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, expect_first, open_first
from tests.browser.serving import Service


def test_caption_and_tags_are_changed_in_the_viewer(visitor: Visitor, service: Service) -> None:
    """Issue 16, what search gains."""
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    open_first(page)
    dialog(page).get_by_text("Change caption and tags").click()
    dialog(page).get_by_role("textbox", name="Caption").fill("A tree that is green")
    tags = dialog(page).get_by_label("Tags, with commas between them")
    tags.fill("garden, summer , garden")
    tags.press("ArrowLeft")
    expect(dialog(page)).to_contain_text("green-tree.jpg")  # the arrow moves in the text
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text("A tree that is green")
    expect(dialog(page)).to_contain_text('["garden","summer"]')
    dialog(page).get_by_text("Change caption and tags").click()
    dialog(page).get_by_role("textbox", name="Caption").fill("")
    dialog(page).get_by_label("Tags, with commas between them").fill("")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text("green-tree.jpg")
    expect(dialog(page)).not_to_contain_text("garden")


def test_days_have_headings_in_the_order_of_time(visitor: Visitor, service: Service) -> None:
    """Issue 16, what search gains: these pictures have no date, and that is said once."""
    page = visitor.visit(service, "/?order=-taken_at")
    heading = page.locator("#grid").get_by_role("heading", level=2)
    expect(heading).to_have_text([re.compile("Without a date")])
    newest = visitor.visit(service, "/")
    expect(newest.locator("#grid .tile").first).to_be_visible()
    expect(newest.locator("#grid").get_by_role("heading", level=2)).to_have_count(0)
