"""On the narrowest of today's phones no word is cut, in any language (issue 19, line 14)."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, settle, tiles
from tests.browser.serving import Service, ended, wait
from tests.browser.test_manners import LANGUAGES, overflowing
from tests.fixtures.drawn_pictures import png

PHONE: dict[str, Any] = {"size": (360, 740), "has_touch": True, "is_mobile": True}

CUT = """() => {
  const found = [];
  const parts = "button, .button, select, summary, th, td, dt, label, legend, h2, h3, b, nav a";
  for (const one of document.querySelectorAll(parts)) {
    if (!one.checkVisibility() || one.closest(".unseen")) continue;
    if (one.matches("select")) {
      const copy = document.createElement("select"); // as wide as what is chosen
      copy.append(new Option(one.selectedOptions[0]?.text));
      copy.style.font = getComputedStyle(one).font;
      one.after(copy);
      const room = (select) => {
        const { width, paddingLeft, paddingRight } = getComputedStyle(select);
        return parseFloat(width) - parseFloat(paddingLeft) - parseFloat(paddingRight);
      };
      copy.style.cssText += "position: absolute; width: max-content; max-width: none";
      if (room(copy) > room(one) + 1) found.push(`${one.id}: ${one.selectedOptions[0].text}`);
      copy.remove();
      continue;
    }
    const isBox = getComputedStyle(one).display !== "inline";
    if (isBox && one.scrollWidth > one.clientWidth + 1) found.push(one.textContent);
    const texts = document.createTreeWalker(one, NodeFilter.SHOW_TEXT);
    for (let text; (text = texts.nextNode()); ) {
      for (const word of text.data.matchAll(/[\\p{Script=Latin}]{2,24}/gu)) {
        const range = document.createRange();
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].map(({ top }) => Math.round(top)));
        if (lines.size > 1) found.push(word[0]);
      }
    }
  }
  return found;
}"""


@pytest.fixture(scope="module")
def full(service: Service) -> str:
    """A collection that fills the tables: poor ratings, two generations, a refused file."""
    service.ask("POST", "/api/v1/collections", json={"name": "narrow"})
    files = [("files", ("one.png", png(61_000))), ("files", ("letter.png", b"Dear reader"))]
    service.job(params={"collection": "narrow"}, files=files)
    made = service.ask("POST", "/api/v1/collections/narrow/reindex", json={"storage": "bit"})
    assert wait(lambda: ended(service.ask("GET", made["url"])))["status"] == "succeeded"
    question = {"query": "a boat on a lake", "collection": "narrow"}
    token = service.ask("POST", "/api/v1/search", json=question)["token"]
    service.ask("POST", "/api/v1/feedback", json={"token": token, "rating": 1})
    return "collection=narrow"


def expect_whole(page: Page, moment: str) -> None:
    assert (page.evaluate(CUT), overflowing(page)) == ([], []), moment


def unfold(page: Page, which: str = "main details:visible") -> None:
    page.locator(which).evaluate_all("all => all.forEach((one) => one.open = true)")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_nothing_is_cut_in_views_with_tables(
    visitor: Visitor, service: Service, full: str, tag: str
) -> None:
    page = visitor.visit(service, f"/?view=status&{full}", language=LANGUAGES[tag], **PHONE)
    expect(page.locator("#status-view table")).to_have_count(2)
    unfold(page)
    expect(page.locator("#status-view table:visible")).to_have_count(2)
    visitor.photograph("status")
    expect_whole(page, "status")
    page.goto(f"/?view=add&{full}")
    page.locator(".jobs details:visible").first.wait_for()
    unfold(page, "main details:not(.jobs *):visible")
    refusal = page.locator(".jobs details:visible").filter(has_text="letter.png")
    unfold(page, ".jobs li:nth-child(-n + 2) details")  # those of `full`; names may break anywhere
    expect(refusal.locator("table")).to_be_visible()
    visitor.photograph("add")
    expect_whole(page, "add")


@pytest.mark.parametrize("tag", LANGUAGES)
def test_nothing_is_cut_in_search_and_dialogs(visitor: Visitor, service: Service, tag: str) -> None:
    page = visitor.visit(
        service, "/?q=a+green+tree&order=-taken_at", language=LANGUAGES[tag], **PHONE
    )
    settle(page)
    expect(page.locator("#rail")).to_be_hidden()  # before, it said what the heading says
    page.locator("#filter-button").click()
    page.locator("#filters legend").first.wait_for()
    visitor.photograph("filters")
    expect_whole(page, "filters")
    page.locator("#filter-button").click()
    page.locator("#select-button").click()
    tiles(page).first.click()
    expect(page.locator("#selection .row button").first).to_be_enabled()
    visitor.photograph("selected")
    expect_whole(page, "selected")
    for at in (0, 1):
        page.locator("#selection .row button").nth(at).click()
        expect_whole(page, f"act {at}")
        page.keyboard.press("Escape")
    page.locator("#selection > .icon").click()
    for at in (1, 0):  # a new collection, the key
        page.locator("#collections").click()
        expect_whole(page, "menu")
        dialog(page).locator(".fields > button").nth(at).click()
        visitor.photograph(f"dialog {at}")
        expect_whole(page, f"dialog {at}")
        page.keyboard.press("Escape")
    tiles(page).first.click()
    dialog(page).locator("dd").first.wait_for()
    dialog(page).locator("summary").first.click()
    expect_whole(page, "picture")
