"""Somebody selects pictures, and changes, deletes, moves or downloads them together."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import answer, dialog, open_first, settle, tiles
from tests.browser.serving import PICTURES, Service, index
from tests.browser.test_manners import SCHEMES, Scheme, overflowing

NAMES = ("green-tree.jpg", "cat.jpg", "car.jpg", "banana.jpg", "camera.jpg", "tiger.jpg")
VIEW = "/?collection=managed"
BUTTONS_BELOW = """(selector) => {
  const over = document.querySelector(selector).getBoundingClientRect();
  const isBelow = ({left, right, top, bottom}) =>
    left < over.right && right > over.left && top < over.bottom && bottom > over.top;
  const buttons = [...document.querySelectorAll("#selection button, #undo button")];
  return buttons.filter((one) => isBelow(one.getBoundingClientRect())).map((one) => one.innerText);
}"""


@pytest.fixture(scope="module")
def managed(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with two further collections, one of six pictures."""
    for name in ("managed", "moved"):
        service.ask("POST", "/api/v1/collections", json={"name": name})
    yield service
    for name in ("managed", "moved"):
        service.ask("DELETE", f"/api/v1/collections/{name}")


@pytest.fixture(autouse=True)
def six(managed: Service) -> None:
    """Six pictures in the one, none in the other."""
    for name in ("managed", "moved"):
        remove = f"/api/v1/collections/{name}/images/delete"
        managed.ask("POST", remove, json={"filter": {"id": {"gt": 0}}})
    files = [("files", (name, (PICTURES / name).read_bytes())) for name in NAMES]
    managed.job(files=files, params={"collection": "managed"})


def visit(visitor: Visitor, service: Service, address: str = VIEW, **options: object) -> Page:
    page = visitor.visit(service, address, **options)  # type: ignore[arg-type]
    settle(page)
    expect(tiles(page)).to_have_count(len(NAMES))
    return page


def checks(page: Page) -> Locator:
    return page.locator("#grid").get_by_role("checkbox")


def bar(page: Page) -> Locator:
    return page.get_by_role("region", name="Selected pictures")


def test_select_by_click_range_and_all(visitor: Visitor, managed: Service) -> None:
    page = visit(visitor, managed)
    tiles(page).first.hover()
    checks(page).first.click()
    expect(bar(page)).to_contain_text("1 of 6 selected")
    tiles(page).nth(3).click(modifiers=["Shift"])
    expect(bar(page)).to_contain_text("4 of 6 selected")
    tiles(page).nth(1).click()
    expect(bar(page)).to_contain_text("3 of 6 selected")
    expect(dialog(page)).to_be_hidden()
    bar(page).get_by_role("button", name="All loaded so far").click()
    expect(bar(page)).to_contain_text("6 of 6 selected")
    page.keyboard.press("Escape")
    expect(bar(page)).to_be_hidden()
    open_first(page)


def test_select_by_a_long_press_and_by_the_keyboard(visitor: Visitor, managed: Service) -> None:
    page = visit(visitor, managed, size=(360, 740), has_touch=True, is_mobile=True)
    place = tiles(page).nth(1).bounding_box()
    assert place is not None
    devtools = page.context.new_cdp_session(page)
    at = [{"x": place["x"] + 40, "y": place["y"] + 40}]
    devtools.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": at})
    expect(bar(page)).to_contain_text("1 of 6 selected")
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    tiles(page).nth(2).tap()
    expect(bar(page)).to_contain_text("2 of 6 selected")
    expect(checks(page).nth(1)).to_be_checked()
    visitor.photograph("phone")
    assert overflowing(page) == []
    checks(page).nth(4).focus()
    page.keyboard.press("Space")
    expect(bar(page)).to_contain_text("3 of 6 selected")
    page.keyboard.press("Control+a")
    expect(bar(page)).to_contain_text("6 of 6 selected")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_words_for_many_and_axe(visitor: Visitor, managed: Service, scheme: Scheme) -> None:
    page = visit(visitor, managed, scheme=scheme)
    page.get_by_role("button", name="Select", exact=True).click()
    bar(page).get_by_role("button", name="All loaded so far").click()
    assert violations(page) == []
    visitor.photograph("bar")
    bar(page).get_by_role("button", name="Edit").click()
    dialog(page).get_by_label("Tags to add").fill("sea, sun")
    dialog(page).get_by_label("Caption for all").fill("A day")
    dialog(page).get_by_role("button", name="Add a field").click()
    dialog(page).get_by_label("Field", exact=True).fill("stars")
    dialog(page).get_by_label("Value", exact=True).fill("5")
    assert violations(page) == []
    visitor.photograph("dialog")
    dialog(page).get_by_role("button", name="Save").click()
    expect(page.locator("#announcements")).to_contain_text("6 pictures changed.")
    listed = managed.ask("GET", "/api/v1/collections/managed/images")["data"]
    assert [one["metadata"]["tags"] for one in listed] == [["sea", "sun"]] * 6
    assert {(one["caption"], one["metadata"]["stars"]) for one in listed} == {("A day", 5)}


def test_deleted_and_brought_back(visitor: Visitor, managed: Service) -> None:
    page = visit(visitor, managed, f"{VIEW}&q=tree")
    expect(answer(page)).to_contain_text("best of 6")
    page.get_by_role("button", name="Select", exact=True).click()
    tiles(page).nth(1).click()
    tiles(page).nth(2).click()
    bar(page).get_by_role("button", name="Delete").click()
    expect(tiles(page)).to_have_count(4)
    expect(answer(page)).to_contain_text("best of 4")
    visitor.photograph("deleted")
    kept = managed.ask("GET", "/api/v1/collections/managed")
    assert kept["image_count"] == 4
    page.get_by_role("button", name="Undo").click()
    expect(tiles(page)).to_have_count(6)
    expect(answer(page)).to_contain_text("best of 6")
    assert managed.ask("GET", "/api/v1/collections/managed")["image_count"] == 6
    open_first(page)
    dialog(page).get_by_role("button", name="Delete").click()
    expect(dialog(page)).to_be_hidden()
    expect(tiles(page)).to_have_count(5)


def test_a_deletion_is_undone_after_a_reload(visitor: Visitor, managed: Service) -> None:
    """Before, nothing on the page brought a picture back once the page was loaded again."""
    page = visit(visitor, managed)
    for left in (5, 4):
        page.get_by_role("button", name="Select", exact=True).click()
        tiles(page).first.click()
        bar(page).get_by_role("button", name="Delete").click()
        expect(tiles(page)).to_have_count(left)
    page.goto("/?collection=moved")
    settle(page)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#announcements")).to_contain_text("1 picture is back.")
    page.goto(VIEW)
    expect(tiles(page)).to_have_count(5)
    page.get_by_role("button", name="Undo").click()
    expect(tiles(page)).to_have_count(6)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    page.reload()
    settle(page)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_moved_to_another_collection(visitor: Visitor, managed: Service) -> None:
    page = visit(visitor, managed)
    page.get_by_role("button", name="Select", exact=True).click()
    tiles(page).first.click()
    bar(page).get_by_role("button", name="Move").click()
    dialog(page).get_by_label("To the collection").select_option("moved")
    dialog(page).get_by_role("button", name="Move").click()
    expect(tiles(page)).to_have_count(5)
    assert managed.ask("GET", "/api/v1/collections/moved")["image_count"] == 1
    expect(page.locator("#note")).to_have_text("1 picture is in moved now.")


@pytest.mark.parametrize("width", [360, 1280])
def test_what_is_told_lies_over_no_button(visitor: Visitor, managed: Service, width: int) -> None:
    """Before, it lay over the selection's buttons, and over the undo of the deletion before."""
    page = visit(visitor, managed, size=(width, 800))
    page.get_by_role("button", name="Select", exact=True).click()
    tiles(page).first.click()
    bar(page).get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Select", exact=True).click()
    tiles(page).first.click()
    bar(page).get_by_role("button", name="Edit").click()
    dialog(page).get_by_label("Caption for all").fill("A day")
    dialog(page).get_by_role("button", name="Save").click()
    expect(page.locator("#note")).to_have_text("1 picture changed.")
    assert page.evaluate(BUTTONS_BELOW, "#note") == []
    visitor.photograph(f"told at {width}")
    for place in (bar(page), page.locator("#undo")):
        for button in place.get_by_role("button").all():
            button.click(trial=True)


def test_moved_to_a_collection_that_is_made_then(visitor: Visitor, managed: Service) -> None:
    """Before, where there was no other collection, there was nothing to choose."""
    page = visit(visitor, managed)
    page.get_by_role("button", name="Select", exact=True).click()
    tiles(page).first.click()
    bar(page).get_by_role("button", name="Move").click()
    name = dialog(page).get_by_role("textbox")
    expect(name).to_be_hidden()
    dialog(page).get_by_label("To the collection").select_option("New collection")
    name.fill("My Summer")
    assert violations(page) == []
    visitor.photograph("asked")
    page.keyboard.press("Enter")
    expect(page.locator("#note")).to_have_text("1 picture is in my-summer now.")
    expect(tiles(page)).to_have_count(5)
    expect(page.locator("#collection")).to_have_value("managed")
    page.locator("#collection").select_option("my-summer")
    expect(tiles(page)).to_have_count(1)
    managed.ask("DELETE", "/api/v1/collections/my-summer")


def test_downloaded_as_a_zip(visitor: Visitor, managed: Service, tmp_path: Path) -> None:
    page = visit(visitor, managed)
    page.get_by_role("button", name="Select", exact=True).click()
    bar(page).get_by_role("button", name="All loaded so far").click()
    with page.expect_download() as begun:
        bar(page).get_by_role("button", name="Download").click()
    begun.value.save_as(tmp_path / "pictures.zip")
    with zipfile.ZipFile(tmp_path / "pictures.zip") as archive:
        assert sorted(archive.namelist()) == sorted(NAMES)
        assert archive.read("cat.jpg") == (PICTURES / "cat.jpg").read_bytes()


def test_a_deleted_picture_of_a_folder_stays_away(
    visitor: Visitor, managed: Service, tmp_path: Path
) -> None:
    """Issue 19, item 12."""
    (tmp_path / "zebra4711.jpg").write_bytes((PICTURES / "cat.jpg").read_bytes() + b"\0")
    index(managed.services, tmp_path)
    page = visitor.visit(managed, "/?q=zebra4711")
    settle(page)
    open_first(page)
    expect(dialog(page)).to_contain_text("zebra4711.jpg")
    dialog(page).get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    index(managed.services, tmp_path)
    found = managed.ask("GET", "/api/v1/search?q=zebra4711")["hits"]
    assert not [hit for hit in found if "zebra4711" in hit["original_filename"]]
    assert (tmp_path / "zebra4711.jpg").exists()


def ask_for_collection(page: Page, verb: str, name: str, becomes: str = "") -> None:
    """Ask by the menu; the dialog says what the name becomes."""
    page.get_by_role("button", name="Menu").click()
    assert violations(page) == []
    dialog(page).get_by_role("button", name=verb).click()
    dialog(page).get_by_role("textbox").fill(name)
    expect(dialog(page)).to_contain_text(f"It will be called {becomes}." if becomes else "a–z")
    page.keyboard.press("Enter")


def test_a_collections_name_is_made_from_what_is_typed(visitor: Visitor, managed: Service) -> None:
    """Before, a name with capitals or spaces was refused, and another one after the dialog."""
    visitor.refusals.add(409)
    page = visitor.visit(managed, size=(360, 740))
    settle(page)
    ask_for_collection(page, "New collection", "图片")
    expect(dialog(page)).to_be_visible()  # no letter of it can be in a name
    page.keyboard.press("Escape")
    ask_for_collection(page, "New collection", "managed")
    expect(dialog(page)).to_contain_text("already exists")  # where the name can be changed
    visitor.photograph("taken")
    dialog(page).get_by_role("textbox").fill(" Trip: Été 2019!")
    page.keyboard.press("Enter")
    expect(page.locator("#collection")).to_have_value("trip-ete-2019")
    managed.ask("DELETE", "/api/v1/collections/trip-ete-2019")


def test_collections_are_made_renamed_and_deleted(visitor: Visitor, managed: Service) -> None:
    """Issue 19, item 12."""
    page = visitor.visit(managed, size=(360, 740))
    settle(page)
    ask_for_collection(page, "New collection", "Trip 2019", "trip-2019")
    expect(dialog(page)).to_have_count(0)
    expect(page.locator("#collection")).to_have_value("trip-2019")
    expect(page.locator("#answer")).to_contain_text("no pictures here yet")
    ask_for_collection(page, "Rename", "lisbon")
    expect(dialog(page)).to_have_count(0)
    expect(page.locator("#collection")).to_have_value("lisbon")
    settle(page)
    page.get_by_role("button", name="Menu").click()
    dialog(page).get_by_role("button", name="Delete collection").click()
    dialog(page).get_by_role("textbox").fill("lisbo")
    page.keyboard.press("Enter")
    expect(dialog(page)).to_be_visible()
    visitor.photograph("delete")
    dialog(page).get_by_role("textbox").fill("lisbon")
    page.keyboard.press("Enter")
    expect(page.locator("#collection")).to_have_value("default")
    names = [one["name"] for one in managed.ask("GET", "/api/v1/collections")["data"]]
    assert not {"trip-2019", "lisbon"} & set(names)


def test_what_is_said_of_the_answer_counts_no_deleted_pictures(
    visitor: Visitor, managed: Service
) -> None:
    """Before, "The newest of 6 pictures" stayed while two of them were gone."""
    page = visit(visitor, managed)
    expect(answer(page)).to_contain_text("The newest of 6 pictures")
    page.get_by_role("button", name="Select", exact=True).click()
    bar(page).get_by_role("button", name="All loaded so far").click()
    checks(page).first.click()
    bar(page).get_by_role("button", name="Delete").click()
    expect(answer(page)).to_contain_text("The only picture")
    page.get_by_role("button", name="Undo").click()
    expect(answer(page)).to_contain_text("The newest of 6 pictures")
    page.get_by_role("button", name="Select", exact=True).click()
    bar(page).get_by_role("button", name="All loaded so far").click()
    bar(page).get_by_role("button", name="Move").click()
    dialog(page).get_by_label("To the collection").select_option("moved")
    dialog(page).get_by_role("button", name="Move").click()
    expect(answer(page)).to_contain_text("There are no pictures here yet.")
    expect(answer(page).get_by_role("link", name="Add pictures")).to_be_visible()


def test_the_focus_is_never_lost(visitor: Visitor, managed: Service) -> None:
    """With the keyboard alone: after what had the focus is gone, it is where one goes on."""
    page = visit(visitor, managed)
    select = page.get_by_role("button", name="Select", exact=True)
    select.press("Enter")
    bar(page).get_by_role("button", name="Done").press("Enter")
    expect(select).to_be_focused()
    select.press("Enter")
    checks(page).nth(5).press("Space")
    page.keyboard.press("F6")
    expect(bar(page).get_by_role("button", name="All loaded so far")).to_be_focused()
    bar(page).get_by_role("button", name="Delete").press("Enter")
    expect(tiles(page)).to_have_count(5)
    expect(page.get_by_role("button", name="Undo")).to_be_focused()  # not hundreds of tabs away
    page.get_by_role("button", name="Undo").press("Enter")
    expect(tiles(page)).to_have_count(6)
    expect(page.locator("main")).to_be_focused()
    with page.expect_response(lambda answer: "/similar" in answer.url):
        tiles(page).nth(2).press("Enter")
    dialog(page).get_by_role("button", name="Delete").press("Enter")
    expect(dialog(page)).to_be_hidden()
    expect(tiles(page)).to_have_count(5)
    expect(tiles(page).nth(2)).to_be_focused()
    page.locator("#undo").get_by_role("button", name="Close").press("Enter")
    expect(page.locator("main")).to_be_focused()
    menu = page.get_by_role("button", name="Menu")
    menu.press("Enter")
    dialog(page).get_by_role("button", name="New collection").press("Enter")
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
