"""Names, captions and metadata are text, whatever is in them."""

import json
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import choose, dialog, payload, search, settle, tiles, words
from tests.browser.serving import SECONDS, Service
from tests.fixtures.drawn_pictures import png

LONG_MS = SECONDS * 1_000
MARKUP = "<img src=x onerror=alert(1)>"
BIDI = "\u202egnp.photo\u2066"
NAMES = (
    f"{MARKUP}.png",
    "\"quoted\" 'and' `ticked` & ${amp};.png",
    f"{BIDI}.png",
    "圖片🖼️ é.png",
    "a" * 251 + ".png",
    "javascript:alert(1).png",
    "{name}.png",
)
METADATA = {
    "<script>alert(1)</script>": "</dd></dl><svg onload=alert(1)>",
    "__proto__": MARKUP,
    "constructor": '"><iframe srcdoc="<script>alert(1)</script>">',
    "nested": {"<b>": [MARKUP, None, True]},
    "long": "x" * 4_000,
    "lines": "one\ntwo\u2028three\x07",
}


def harmless(page: Page) -> None:
    """Nothing of the markup became an element, and nothing is wider than the page."""
    for selector in ("img[src='x']", "[onerror]", "[onload]", "iframe", "main script", "dialog b"):
        assert page.locator(selector).count() == 0, selector
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def collection(service: Service) -> str:
    """Pictures with hostile captions and metadata."""
    name = "hostile-words"
    service.ask("POST", "/api/v1/collections", json={"name": name})
    for number, caption in enumerate((MARKUP, f"{BIDI} caption", "<script>alert(1)</script>")):
        service.job(
            params={"collection": name},
            files={"files": (NAMES[number], png(20_000 + number))},
            data={"caption": caption, "metadata": json.dumps(METADATA)},
        )
    return name


def test_hostile_names_are_handed_in(visitor: Visitor, service: Service) -> None:
    service.ask("POST", "/api/v1/collections", json={"name": "hostile-names"})
    page = visitor.visit(service, "/?view=add&collection=hostile-names")
    files = [payload(name, png(20_100 + number)) for number, name in enumerate(NAMES)]
    files.append(payload(f"{MARKUP}.txt", b"no picture", "text/plain"))
    choose(page, *files)
    done = page.get_by_text(f"{len(files)} of {len(files)} done").first
    expect(done).to_be_visible(timeout=LONG_MS)
    rows = page.locator(".files")
    for name in (NAMES[0], f"{MARKUP}.txt", NAMES[4]):
        expect(rows).to_contain_text(name)
    harmless(page)
    visitor.photograph()
    page.locator("summary").filter(has_text="1 refused").first.click()
    expect(page.get_by_role("row").filter(has_text=f"{MARKUP}.txt")).to_be_visible()
    harmless(page)
    page.get_by_role("link", name="Find them").click()
    expect(tiles(page)).to_have_count(len(NAMES))
    for number in range(len(NAMES)):
        tiles(page).nth(number).click()
        expect(dialog(page)).to_contain_text("Sent as")
        harmless(page)
        page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [320, 1280])
def test_hostile_words_are_shown_as_they_are(
    visitor: Visitor, service: Service, collection: str, width: int
) -> None:
    page = visitor.visit(service, f"/?collection={collection}", size=(width, 800))
    expect(tiles(page)).to_have_count(3)
    tiles(page).get_by_role("img", name=MARKUP).click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text(MARKUP)
    expect(dialog(page)).to_contain_text("</dd></dl><svg onload=alert(1)>")
    expect(dialog(page)).to_contain_text("__proto__")
    harmless(page)
    assert page.evaluate("Object.keys(Object.prototype).length") == 0


def test_a_hostile_query_is_text(visitor: Visitor, service: Service, collection: str) -> None:
    page = visitor.visit(service)
    search(page, MARKUP)
    page.get_by_label("Without").fill("<svg onload=alert(1)>")
    settle(page)
    page.reload()
    expect(words(page)).to_have_value(MARKUP)
    harmless(page)


@pytest.mark.parametrize(
    "address",
    [
        f"/?q={quote(MARKUP)}&without={quote(MARKUP)}&weight=1e9&order={quote(MARKUP)}",
        f"/?collection={quote(MARKUP)}",
        "/?collection=../../etc&view=add",
        "/?collection=..%2F..%2Fmetrics%3F&view=status",
        f"/?hit={quote(MARKUP)}&image=-1&weight=nan",
        "/?hit=1e400&image=1e400&filter=%7B%22__proto__%22%3A1%7D",
        f"/?filter={quote(json.dumps({MARKUP: {MARKUP: MARKUP}}))}",
        "/?filter=[[[[&filter={}&q=%00%ff",
        "/?view=javascript:alert(1)",
        "/?view=__proto__&q=" + "x" * 2_000,
        f"/#{quote(MARKUP)}",
    ],
)
def test_a_hostile_address_does_nothing(visitor: Visitor, service: Service, address: str) -> None:
    visitor.refusals |= {400, 404, 422}
    page = visitor.visit(service, address)
    page.wait_for_load_state("networkidle")
    harmless(page)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("link", name="Search", exact=True).click()
    expect(words(page)).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()
