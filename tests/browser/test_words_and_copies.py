"""What people said of pictures comes first; copies are one tile; long texts (issue 21)."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import (
    answer,
    dialog,
    dropped,
    expect_first,
    names,
    open_first,
    query_of,
    search,
    settle,
    tiles,
    words,
)
from tests.browser.serving import PICTURES, Service

NOTHING = "Nothing here looks like that"


@pytest.fixture
def copied(service: Service, source: Path) -> Iterator[str]:
    """A collection with one picture in twelve folders and five others; its name."""
    library = source / "library"
    for number in range(12):
        (library / f"{number:02}").mkdir(parents=True)
        shutil.copy(PICTURES / "green-tree.jpg", library / f"{number:02}")
    for name in ("cat.jpg", "car.jpg", "banana.jpg", "camera.jpg", "castle.webp"):
        shutil.copy(PICTURES / name, library)
    service.ask("POST", "/api/v1/collections", json={"name": "copied"})
    body = {"source": {"folder": str(library)}}
    assert service.job(params={"collection": "copied"}, json=body)["added"] == 17
    yield "copied"
    shutil.rmtree(library)


def test_the_caption_that_somebody_wrote_comes_first(visitor: Visitor, service: Service) -> None:
    """Issue 21, line 29: before, strangers came, and "Nothing here looks like that"."""
    (zebra,) = service.ask("GET", "/search-by-text?query=a+zebra&limit=1")
    path = f"/api/v1/images/{zebra['id']}"
    body = {"caption": "Grandma on the pier", "metadata": {}}
    service.ask("PATCH", path, json=body)
    try:
        page = visitor.visit(service)
        settle(page)
        search(page, "Grandma")
        expect_first(page, "Grandma on the pier")
        expect(answer(page)).not_to_contain_text(NOTHING)
        expect(answer(page)).to_contain_text("Pictures with these words first")
        expect(tiles(page).first).to_have_attribute(
            "title", re.compile("^The words match · Score 0")
        )
    finally:
        service.ask("PATCH", path, json={"caption": "", "metadata": {}})


def test_nothing_is_said_where_no_word_matches(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, "/?q=quarterly+tax+report+of+a+bank")
    expect(answer(page)).to_contain_text(NOTHING)


def test_what_the_model_did_not_read_is_said(visitor: Visitor, service: Service) -> None:
    """Issue 21, line 31."""
    page = visitor.visit(service)
    search(page, f"{'word ' * 80}and a red car")
    expect(answer(page)).to_contain_text("The model does not read texts this long")
    search(page, "a red car")
    expect(answer(page)).not_to_contain_text("does not read")


def test_the_cursor_is_in_the_search_field(visitor: Visitor, service: Service) -> None:
    """Issue 21, line 16."""
    page = visitor.visit(service)
    expect(words(page)).to_be_focused()
    page.keyboard.type("a castle")
    expect_first(page, "castle.webp")
    page.get_by_role("link", name="Add").click()
    page.go_back()
    expect(words(page)).to_have_value("a castle")


def test_a_phone_shows_no_keyboard_over_the_page(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, size=(360, 740), has_touch=True, is_mobile=True)
    settle(page)
    expect(words(page)).not_to_be_focused()


def test_a_dropped_folder_is_no_picture_to_search_with(
    visitor: Visitor, service: Service, tmp_path: Path
) -> None:
    """Issue 21, line 41, for the search view."""
    (tmp_path / "empty").mkdir()
    page = visitor.visit(service)
    settle(page)
    dropped(page, tmp_path / "empty")
    expect(page.get_by_role("alert")).to_contain_text("not a picture")


def test_one_tile_stands_for_all_copies(copied: str, visitor: Visitor, service: Service) -> None:
    """Issue 21, line 32: before, the twelve copies took the first twelve places."""
    page = visitor.visit(service, f"/?collection={copied}")
    search(page, "a green tree")
    expect(tiles(page)).to_have_count(6)
    assert names(page)[0] == "green-tree.jpg"
    expect(tiles(page).first).to_contain_text("+11 copies")
    open_first(page)
    links = dialog(page).locator("ol").get_by_role("link", name="green-tree.jpg")
    expect(links).to_have_count(11)
    address, shown = page.url, query_of(page)["hit"]
    links.first.click()
    expect(page).not_to_have_url(address)
    expect(dialog(page)).to_contain_text("/green-tree.jpg")
    assert query_of(page)["hit"] != shown


@pytest.fixture
def scanned(service: Service, source: Path) -> Iterator[str]:
    """A collection that indexes all pages, with a document of a car and a banana; its name."""
    pages = [Image.open(PICTURES / name).convert("RGB") for name in ("car.jpg", "banana.jpg")]
    (source / "scans").mkdir()
    pages[0].save(source / "scans" / "a.tif", save_all=True, append_images=pages[1:])
    service.ask("POST", "/api/v1/collections", json={"name": "scanned", "pages": "all"})
    body = {"source": {"folder": str(source / "scans")}}
    assert service.job(params={"collection": "scanned"}, json=body)["added"] == 1
    yield "scanned"
    shutil.rmtree(source / "scans")


def test_the_page_of_a_document_that_was_found_is_shown(
    scanned: str, visitor: Visitor, service: Service
) -> None:
    """Issue 16: all pages where the collection says so."""
    page = visitor.visit(service, f"/?collection={scanned}")
    search(page, "a banana")
    expect(tiles(page)).to_have_count(1)
    expect(tiles(page).first).to_have_attribute("title", re.compile("page 2"))
    image = tiles(page).get_by_role("img").first
    expect(image).to_have_attribute(
        "src", re.compile(r"thumbnail\?size=\d+&page=2&v=[0-9a-f]{16}$")
    )
    open_first(page)
    expect(dialog(page)).to_contain_text("page 2")
