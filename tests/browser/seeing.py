"""What a person does and sees on the page, by its roles and labels."""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import FilePayload, Locator, Page, Request, expect

from tests.browser.serving import PICTURES

SEARCH = "/api/v1/search"


def query_of(page: Page) -> dict[str, list[str]]:
    """Of the page's address."""
    return parse_qs(urlsplit(page.url).query)


def words(page: Page) -> Locator:
    return page.locator("#words")


def tiles(page: Page) -> Locator:
    """The links to the pictures of the answer."""
    return page.locator("#grid").get_by_role("link")


def answer(page: Page) -> Locator:
    """What is said of the answer as a whole."""
    return page.locator("#answer")


def names(page: Page) -> list[str]:
    """Of the pictures of the answer, best first."""
    found: list[str] = tiles(page).get_by_role("img").evaluate_all("all => all.map(one => one.alt)")
    return found


def search(page: Page, text: str) -> None:
    """Type and wait for the answer to that."""
    with page.expect_response(lambda answer: asks(answer.request, text)):
        words(page).fill(text)
    settle(page)


def asks(request: Request, text: str) -> bool:
    return is_search(request) and json.dumps(text)[1:-1] in (request.post_data or "")


def settle(page: Page) -> None:
    """Wait until an answer is on the page: before, its place is there, but no script may be."""
    expect(page.locator("#answer")).not_to_be_empty()
    expect(page.locator("#grid")).not_to_have_attribute("aria-busy", "true")


def expect_first(page: Page, name: str) -> None:
    expect(tiles(page).get_by_role("img").first).to_have_attribute("alt", name)


def dropped(page: Page, *files: Path, at: tuple[float, float] = (400, 500)) -> None:
    """Drag files from outside over the page and let them go, as the browser itself does.

    The page must have settled: what is dropped on one that is not painted yet is lost.
    """
    dragged(page, *files, at=at, steps=("dragEnter", "dragOver", "drop"))


def dragged(
    page: Page,
    *files: Path,
    at: tuple[float, float] = (400, 500),
    steps: Sequence[str] = ("dragEnter", "dragOver"),
) -> None:
    """Drag files from outside over the page, as the browser itself does."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for step in steps:
        told = {"type": step, "x": at[0], "y": at[1], "data": data}
        devtools.send("Input.dispatchDragEvent", told)
    devtools.detach()


def pasted(page: Page, file: Path) -> None:
    """Have a picture on the clipboard, and paste it."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (data) => {
          const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
          const picture = new Blob([bytes], { type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
        }""",
        base64.b64encode(file.read_bytes()).decode(),
    )
    page.keyboard.press("Control+v")


def picture(name: str) -> Path:
    return PICTURES / name


def asked_with(page: Page, act: Callable[[], None]) -> dict[str, Any]:
    """The body of the search that `act` begins."""
    with page.expect_request(begins) as begun:
        act()
    return body_of(begun.value)


def is_search(request: Request) -> bool:
    return urlsplit(request.url).path == SEARCH


def begins(request: Request) -> bool:
    """It asks for the first page of an answer."""
    return is_search(request) and "cursor" not in (request.post_data or "cursor")


def body_of(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.post_data or "")
    return body


def payload(name: str, data: bytes, kind: str = "image/png") -> FilePayload:
    """A file that somebody chooses, under any name."""
    return {"name": name, "mimeType": kind, "buffer": data}


def choose(page: Page, *files: FilePayload) -> None:
    """Hand files in."""
    page.get_by_label("Choose files").set_input_files(list(files))


def dialog(page: Page) -> Locator:
    return page.get_by_role("dialog")


def open_first(page: Page) -> None:
    """The first picture, large."""
    tiles(page).first.click()
    expect(dialog(page)).to_be_visible()


def scroll_down(page: Page) -> None:
    page.mouse.wheel(0, 2_000)
