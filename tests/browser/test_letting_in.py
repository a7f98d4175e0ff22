"""Who may use the library (issue 19, line 12): an admin makes keys on the page and ends them."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from app.access import api_keys
from tests.browser.axe import violations
from tests.browser.conftest import Locked, Visitor
from tests.browser.test_keys import give
from tests.browser.test_manners import Scheme, overflowing

QUESTION = "Who may use this library?"


def opened(visitor: Visitor, locked: Locked, key: str, **options: object) -> Page:
    visitor.refusals.add(401)
    page = visitor.visit(locked.service, "/?view=status", **options)  # type: ignore[arg-type]
    give(page, key)
    expect(page.get_by_role("region", name="Status")).to_contain_text("demo model")
    return page


def copied(visitor: Visitor, page: Page, shown: Locator) -> str:
    """The key, taken from the dialog that shows it once."""
    key = shown.get_by_role("textbox").input_value()
    assert api_keys.read(key)
    assert (violations(page), overflowing(page)) == ([], [])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.get_by_role("button", name="Copy").click()
    expect(page.locator("#note")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == key
    visitor.photograph("shown once")
    shown.get_by_role("button", name="I have it").click()
    expect(shown).to_have_count(0)
    return key


@pytest.mark.parametrize(
    ("size", "scheme"), [((1280, 900), "light"), ((360, 740), "dark")], ids=["wide", "phone"]
)
def test_somebody_is_let_in_and_locked_out_again(
    visitor: Visitor, locked: Locked, size: tuple[int, int], scheme: Scheme
) -> None:
    page = opened(visitor, locked, locked.key, size=size, scheme=scheme)
    expect(page.get_by_role("heading", name=QUESTION)).to_be_visible()
    people = page.get_by_role("list", name=QUESTION)
    expect(people.get_by_role("listitem").filter(has_text="this is you")).to_have_count(1)
    assert (violations(page), overflowing(page)) == ([], [])
    page.get_by_role("button", name="Let someone in").click()
    asked = page.get_by_role("dialog", name="Let someone in")
    asked.get_by_label("Who is it for").fill(f"Grandma <b> {size[0]}")
    asked.get_by_label("For how long?").select_option("one year")
    expect(asked).to_contain_text("in all collections")  # the key opens them all
    assert (violations(page), overflowing(page)) == ([], [])
    asked.get_by_role("button", name="Make a key").click()
    shown = page.get_by_role("dialog", name=f"The key for Grandma <b> {size[0]}")
    key = copied(visitor, page, shown)
    row = people.get_by_role("listitem").filter(has_text=f"Grandma <b> {size[0]}")
    expect(row).to_contain_text("look and search · not here yet · until ")
    expect(shown).to_have_count(0)
    assert key not in page.content()
    assert locked.service.services.access.caller(key).role == "reader"
    row.get_by_role("button", name="End access").click()
    asked = page.get_by_role("dialog", name="End access")
    expect(asked).to_contain_text(f"Grandma <b> {size[0]} can no longer get in.")
    assert violations(page) == []
    asked.get_by_role("button", name="End access").click()
    expect(row).to_have_count(0)
    assert locked.service.services.access.cached(key) is None


def test_the_last_admin_is_told_to_stay(visitor: Visitor, locked: Locked) -> None:
    visitor.refusals.add(409)
    page = opened(visitor, locked, locked.key)
    page.get_by_role("listitem").filter(has_text="this is you").get_by_role("button").click()
    asked = page.get_by_role("dialog", name="End access")
    expect(asked).to_contain_text("you will be locked out")
    asked.get_by_role("button", name="End access").click()
    expect(asked.get_by_role("alert")).to_contain_text("is the last admin key")


def test_a_key_that_would_outlive_ones_own(visitor: Visitor, locked: Locked) -> None:
    """Before, the page said that one's own key does not allow this, and where to get another."""
    end = datetime.now(UTC) + timedelta(days=20)
    with locked.service.services.sessions.begin() as session:
        _, key = api_keys.create(session, "default", "for a while", "admin", end)
    visitor.refusals.add(403)
    page = opened(visitor, locked, key)
    page.get_by_role("button", name="Let someone in").click()
    asked = page.get_by_role("dialog", name="Let someone in")
    asked.get_by_label("Who is it for").fill("Grandma")
    asked.get_by_label("For how long?").select_option("one year")
    asked.get_by_role("button", name="Make a key").click()
    expect(asked.get_by_role("alert")).to_contain_text("Your own key ends sooner")


def test_only_an_admin_sees_who_may(visitor: Visitor, locked: Locked) -> None:
    with locked.service.services.sessions.begin() as session:
        _, writer = api_keys.create(session, "default", "writer", "writer", None)
    visitor.refusals.add(403)  # what people rated is for admins too
    page = opened(visitor, locked, writer)
    page.get_by_text("No pictures are being added").wait_for()
    expect(page.get_by_role("heading", name=QUESTION)).to_have_count(0)
