"""Somebody changes what is said of a picture, and looks through days."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, expect_first, open_first, tiles
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
    expect(dialog(page).get_by_role("definition").filter(has_text="garden, summer")).to_be_visible()
    dialog(page).get_by_text("Change caption and tags").click()
    dialog(page).get_by_role("textbox", name="Caption").fill("")
    dialog(page).get_by_label("Tags, with commas between them").fill("")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text("green-tree.jpg")
    expect(dialog(page)).not_to_contain_text("garden")


TOLD = {
    "people": ["Ada", "Bo"],
    "rating": 4,
    "place": {"city": "Lissabon", "country": "Portugal"},
    "scanned": "2019-05-31",
    "sent": "2019-05-31T18:05:00+02:00",
    "weight": 12000.5,
    "framed": True,
    "duration": 6.5,
    "gps": {"latitude": 38.5, "longitude": -9.25},
    "motion_offset": 4000,
}
READ = {
    "Personen": "Ada, Bo",
    "Sterne in der Datei": "4 von 5",
    "Ort": "Stadt: Lissabon, Land: Portugal",
    "scanned": "Freitag, 31. Mai 2019",
    "sent": "31.05.2019, 18:05",
    "weight": "12000,5",
    "framed": "ja",
    "Dauer in Sekunden": "6,5",
    "Position": "Breite: 38,5, Länge: -9,25",
}


def test_metadata_is_a_list_for_people(visitor: Visitor, service: Service) -> None:
    """Before, it was JSON, and the file's stars were a number beside ten stars for the search."""
    (known,) = service.ask("GET", "/api/v1/search?q=a+castle&limit=1")["hits"]
    address = f"/api/v1/images/{known['id']}"
    service.ask("PATCH", address, json={"metadata": TOLD})
    page = visitor.visit(service, f"/?q=a+castle&hit={known['id']}", language="de-DE")
    facts = dialog(page).locator("dl")
    expect(facts).to_contain_text("framed")
    visitor.photograph("facts")
    listed = dict(
        zip(
            facts.get_by_role("term").all_inner_texts(),
            facts.get_by_role("definition").all_inner_texts(),
            strict=True,
        )
    )
    assert {name: listed[name] for name in READ} == READ
    assert "motion_offset" not in listed  # of use to programs alone
    expect(dialog(page).get_by_role("radiogroup")).to_have_text("12345678910")
    dialog(page).get_by_text("Beschreibung und Schlagwörter ändern").click()
    people = dialog(page).get_by_label("Wert von people")
    expect(people).to_have_value("Ada, Bo")
    people.fill("Ada, Cy")
    dialog(page).get_by_role("button", name="Speichern").click()
    expect(facts).to_contain_text("Ada, Cy")
    kept = service.ask("GET", address)["metadata"]
    assert {name: kept[name] for name in TOLD} == {**TOLD, "people": ["Ada", "Cy"]}
    service.ask("PATCH", address, json={"metadata": dict.fromkeys(TOLD)})


def test_days_have_headings_in_the_order_of_time(visitor: Visitor, service: Service) -> None:
    """Issue 16, what search gains: these pictures have no date, and that is said once."""
    page = visitor.visit(service, "/?order=-taken_at")
    heading = page.locator("#grid").get_by_role("heading", level=2)
    expect(heading).to_have_text([re.compile("Without a date")])
    newest = visitor.visit(service, "/")
    expect(newest.locator("#grid .tile").first).to_be_visible()
    expect(newest.locator("#grid").get_by_role("heading", level=2)).to_have_count(0)


def test_what_is_typed_waits_however_its_picture_is_left(
    visitor: Visitor, service: Service
) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    caption = dialog(page).get_by_role("textbox", name="Caption")
    kept = page.locator("#note").get_by_text("still there when you open the picture again")
    open_first(page)
    dialog(page).get_by_text("Change caption and tags").click()
    caption.fill("Half a sent")
    leave = (
        lambda: caption.press("Escape"),
        lambda: dialog(page).get_by_role("button", name="Close").click(),
        page.go_back,
        lambda: dialog(page).get_by_role("button", name="Next picture").click(),
    )
    for go in leave:
        go()
        expect(kept).to_be_visible()
        expect(caption).to_have_count(0)
        if dialog(page).is_visible():
            dialog(page).get_by_role("button", name="Previous picture").click()
        else:
            open_first(page)
        expect(caption).to_have_value("Half a sent")
    visitor.decisions = [False]
    with page.expect_event("dialog"):
        page.evaluate("void setTimeout(() => location.reload())")
    assert visitor.questions == ["beforeunload: "]
    expect(caption).to_have_value("Half a sent")
    dialog(page).get_by_role("button", name="Cancel").click()
    page.reload()  # nothing is unsaved, so nobody is asked
    expect(dialog(page)).to_be_visible()


def test_nobody_is_asked_about_what_is_saved_or_cancelled(
    visitor: Visitor, service: Service
) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    caption = dialog(page).get_by_role("textbox", name="Caption")
    open_first(page)
    dialog(page).get_by_text("Change caption and tags").click()
    caption.fill("A whole sentence")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text("A whole sentence")
    dialog(page).get_by_text("Change caption and tags").click()
    caption.fill("Nonsense")
    dialog(page).get_by_role("button", name="Cancel").click()
    dialog(page).get_by_text("Change caption and tags").click()
    expect(caption).to_have_value("A whole sentence")
    caption.fill("")
    dialog(page).get_by_role("button", name="Save").click()
    expect(dialog(page).get_by_role("heading", level=2)).to_have_text("green-tree.jpg")
    page.reload()  # nothing is unsaved, so nobody is asked
    expect(dialog(page)).to_be_visible()


def test_changes_of_many_pictures_are_discarded_only_when_that_is_meant(
    visitor: Visitor, service: Service
) -> None:
    page = visitor.visit(service, "/?q=a+green+tree")
    expect_first(page, "green-tree.jpg")
    tiles(page).first.hover()
    page.locator("#grid").get_by_role("checkbox").first.click()
    change = page.get_by_role("region", name="Selected pictures").get_by_role("button", name="Edit")
    change.click()
    tags = dialog(page).get_by_label("Tags to add")
    tags.press("Escape")  # nothing is typed: nobody is asked
    expect(dialog(page)).to_be_hidden()
    change.click()
    tags.fill("garden")
    visitor.decisions = [False, False, True]
    for _ in range(2):
        with page.expect_event("dialog"):
            page.keyboard.press("Escape")
        expect(tags).to_be_visible()
        expect(tags).to_have_value("garden")
    with page.expect_event("dialog"):
        dialog(page).get_by_role("button", name="Cancel").click()
    expect(dialog(page)).to_be_hidden()
    assert visitor.questions == ["confirm: Discard what you typed?"] * 3
