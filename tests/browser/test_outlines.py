"""What a search found in a picture is outlined in the viewer."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import (
    asked_with,
    dialog,
    open_first,
    query_of,
    search,
    settle,
    tiles,
)
from tests.browser.serving import PICTURES, Service, wait
from tests.fixtures.extras import needs_ocr
from tests.fixtures.pictures_with_text import with_text
from tests.fixtures.scenes_with_small_things import scene

RECEIPT = ("12 Baker Street", "Cappuccino 3.50", "Invoice 4711")


@pytest.fixture(scope="module")
def receipts(service: Service) -> Iterator[str]:
    """A collection with a receipt whose words are read."""
    service.ask("POST", "/api/v1/collections", json={"name": "receipts", "annotators": ["text"]})
    files = {"files": ("receipt.png", with_text(*RECEIPT))}
    service.job(params={"collection": "receipts"}, files=files)
    path = "/api/v1/collections/receipts/annotators"
    wait(lambda: service.ask("GET", path)["data"][0]["read"])
    yield "collection=receipts"
    service.ask("DELETE", "/api/v1/collections/receipts")


def outlined(page: Page) -> list[list[float]]:
    """Left, top, right and bottom of each outline, as parts of the picture that is seen."""
    return page.evaluate(  # type: ignore[no-any-return]
        """() => {
          const image = document.querySelector(".stage img");
          const box = image.getBoundingClientRect();
          const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
          const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
          const left = box.x + (box.width - width) / 2, top = box.y + (box.height - height) / 2;
          return [...document.querySelectorAll(".outlines rect")].map((one) => {
            const { x, y, right, bottom } = one.getBoundingClientRect();
            const part = [(x - left) / width, (y - top) / height, (right - left) / width];
            return [...part, (bottom - top) / height];
          });
        }"""
    )


@needs_ocr
@pytest.mark.parametrize("size", [(1280, 900), (360, 740)])
def test_words_that_are_found_in_a_picture_are_outlined(
    visitor: Visitor, service: Service, receipts: str, size: tuple[int, int]
) -> None:
    page = visitor.visit(service, f"/?{receipts}", size=size)
    search(page, "cappuccino")
    open_first(page)
    expect(dialog(page)).to_contain_text("Found in the picture: “Cappuccino 3.50”")
    expect(page.locator(".stage img")).to_have_js_property("complete", value=True)
    (box,) = service.ask(
        "POST",
        "/api/v1/search",
        json={
            "query": "cappuccino",
            "mode": "auto",
            "collection": "receipts",
            "include": ["texts"],
        },
    )["hits"][0]["texts"]
    (seen,) = outlined(page)
    assert seen == pytest.approx(box["box"], abs=0.02)
    assert violations(page) == []
    visitor.photograph(str(size[0]))
    page.keyboard.press("+")
    (zoomed,) = outlined(page)
    assert zoomed == pytest.approx(box["box"], abs=0.02)


@needs_ocr
def test_the_status_tells_how_far_pictures_are_read(
    visitor: Visitor, service: Service, receipts: str
) -> None:
    page = visitor.visit(service, f"/?view=status&{receipts}")
    page.get_by_text("Details", exact=True).click()
    row = page.get_by_role("row", name=re.compile("Words in pictures"))
    expect(row).to_contain_text("1 of 1 done")
    assert violations(page) == []


def test_a_picture_that_was_found_otherwise_has_no_outlines(
    visitor: Visitor, service: Service
) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    settle(page)
    open_first(page)
    expect(page.locator(".stage img")).to_be_visible()
    expect(page.locator(".outlines rect")).to_have_count(0)


@pytest.fixture(scope="module")
def parts(service: Service) -> Iterator[str]:
    """A collection with a small thing in the upper right quarter of one picture."""
    service.ask("POST", "/api/v1/collections", json={"name": "parts"})
    files = [("files", ("zebra-above-tree.png", scene("green-tree.jpg", "zebra.jpg")))]
    others = ("sun.webp", "potted-plant.jpg", "ambulance.jpg", "zebra.jpg")
    files.extend(("files", (name, (PICTURES / name).read_bytes())) for name in others)
    service.job(params={"collection": "parts"}, files=files)
    service.ask("PATCH", "/api/v1/collections/parts", json={"regions": "grid"})
    path = "/api/v1/collections/parts/annotators"
    wait(lambda: service.ask("GET", path)["data"][0]["waiting"] == 0)
    yield "collection=parts"
    service.ask("DELETE", "/api/v1/collections/parts")


def expect_box(page: Page, box: list[float]) -> None:
    """One outline, of [x, y, width, height]."""
    (corners,) = outlined(page)
    x, y, width, height = box
    assert corners == pytest.approx([x, y, x + width, y + height], abs=0.02)


def opened(page: Page, name: str) -> None:
    page.locator("#grid").get_by_role("link").filter(has=page.get_by_alt_text(name)).first.click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text(name)
    expect(page.locator(".stage img")).to_have_js_property("complete", value=True)


def test_a_region_that_is_found_is_outlined(visitor: Visitor, service: Service, parts: str) -> None:
    page = visitor.visit(service, f"/?{parts}")
    search(page, "a striped horse")
    body = {"query": "a striped horse", "collection": "parts", "limit": 10}
    hits = service.ask("POST", "/api/v1/search", json=body)["hits"]
    (box,) = [one["box"] for one in hits if one["original_filename"] == "zebra-above-tree.png"]
    opened(page, "zebra-above-tree.png")
    expect_box(page, box)
    expect(dialog(page)).to_contain_text("The outlined part is most like it.")
    visitor.photograph()


def draw(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """A box, from corner to corner, in shares of the square picture's sides."""
    stage = page.locator(".stage img").bounding_box()
    assert stage
    side = min(stage["width"], stage["height"])
    left = stage["x"] + (stage["width"] - side) / 2
    top = stage["y"] + (stage["height"] - side) / 2
    page.mouse.move(left + begin[0] * side, top + begin[1] * side)
    page.mouse.down()
    page.mouse.move(left + end[0] * side, top + end[1] * side, steps=3)
    page.mouse.up()


def test_a_part_is_drawn_and_searched_with(visitor: Visitor, service: Service, parts: str) -> None:
    page = visitor.visit(service, f"/?{parts}")
    settle(page)
    opened(page, "zebra-above-tree.png")
    choose = dialog(page).get_by_role("button", name="Choose a part of it")
    choose.click()
    expect(choose).to_have_attribute("aria-pressed", "true")
    expect_box(page, [0.25, 0.25, 0.5, 0.5])
    group = dialog(page).get_by_role("group", name=re.compile("Draw a box"))
    expect(group).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    expect_box(page, [0.3, 0.25, 0.5, 0.45])
    assert violations(page) == []

    draw(page, (0.5, 0.02), (0.98, 0.5))
    expect_box(page, [0.5, 0.02, 0.48, 0.48])
    visitor.photograph("drawn")
    body = asked_with(
        page, lambda: dialog(page).get_by_role("button", name="Search with this").click()
    )
    (term,) = body["query"]
    assert term["box"] == pytest.approx([0.5, 0.02, 0.48, 0.48], abs=0.02)
    settle(page)
    expect(tiles(page).first.get_by_role("img")).to_have_attribute("alt", re.compile("zebra"))
    expect(page.locator("#query-picture img")).to_have_attribute("alt", re.compile("a part of #"))
    page.reload()
    settle(page)
    assert len(query_of(page)["box"][0].split(",")) == 4
    expect(tiles(page).first.get_by_role("img")).to_have_attribute("alt", re.compile("zebra"))
