"""Pictures that are larger than the service takes (issue 19, item 15)."""

import os
from collections.abc import Iterator
from io import BytesIO

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import choose, payload
from tests.browser.serving import Service, serving, wait

MEGAPIXELS = 0.5
FILE_MB = 2.0
BATCH_FILES = 40  # as in add.js


@pytest.fixture(scope="module")
def strict(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that takes small pictures only."""
    bounds = {"max_megapixels": MEGAPIXELS, "max_file_mb": FILE_MB}
    folder = tmp_path_factory.mktemp("strict")
    with serving(server_url, "browser_strict", folder, **bounds) as served:
        yield served


def noise(side: int, kind: str) -> bytes:
    """A picture that no format makes much smaller."""
    out = BytesIO()
    image = Image.frombytes("RGB", (side, side // 2), os.urandom(side * side // 2 * 3))
    image.save(out, kind, quality=95)
    return out.getvalue()


def asked(page: Page) -> Locator:
    return page.get_by_role("dialog")


def pictures(strict: Service, caption: str) -> dict[str, tuple[int, int, str]]:
    """Width, height and format of the pictures with this caption, by name."""
    listed = strict.ask("GET", "/api/v1/collections/default/images?limit=1000")["data"]
    return {
        one["original_filename"]: (one["width"], one["height"], one["format"])
        for one in listed
        if one["caption"] == caption
    }


def hand_in(page: Page, caption: str) -> None:
    """Three files, of which two are too large."""
    page.get_by_label("Caption for all (optional)").fill(caption)
    large = payload("large.jpg", noise(1600, "JPEG"), "image/jpeg")
    drawn = payload("drawn.png", noise(1200, "PNG"))
    choose(page, large, drawn, payload("small.png", noise(64, "PNG")))


def test_they_are_made_smaller_if_the_person_agrees(visitor: Visitor, strict: Service) -> None:
    page = visitor.visit(strict, "/?view=add")
    hand_in(page, "agreed")
    expect(asked(page)).to_contain_text("2 pictures are larger than the service takes")
    expect(asked(page)).to_contain_text("2 MB and 0.5 megapixels")
    expect(asked(page)).to_contain_text("date and place")
    expect(asked(page).get_by_role("listitem").first).to_contain_text(
        "1,600 × 800 pixels → at most 1,000 × 500"
    )
    assert violations(page) == []
    visitor.photograph("asked")
    asked(page).get_by_role("button", name="Send smaller copies").click()
    found = wait(lambda: len(got := pictures(strict, "agreed")) == 3 and got)
    assert found["large.jpg"] == (1000, 500, "JPEG")
    width, height, kind = found["drawn.png"]
    assert (width * height <= MEGAPIXELS * 1e6, kind) == (True, "PNG")
    assert found["small.png"] == (64, 32, "PNG")
    expect(page.locator("#add-view")).to_contain_text("made smaller: ")


@pytest.mark.parametrize(
    ("answer", "refused"),
    [("Send as they are", "2 refused"), ("Leave them out", "1 of 3 done · 1 added · 2 not begun")],
)
def test_nothing_is_made_smaller_without_a_yes(
    visitor: Visitor, strict: Service, answer: str, refused: str
) -> None:
    page = visitor.visit(strict, "/?view=add")
    hand_in(page, answer)
    asked(page).get_by_role("button", name=answer).click()
    expect(page.locator(".uploads > p")).to_contain_text(refused)
    assert set(wait(lambda: pictures(strict, answer))) == {"small.png"}


def test_what_is_handed_in_is_noted_before_it_is_measured(
    visitor: Visitor, strict: Service
) -> None:
    """Before, nothing was seen until all were decoded; caption and collection were read then."""
    strict.ask("POST", "/api/v1/collections", json={"name": "elsewhere"})
    page = visitor.visit(strict, "/?view=add")
    page.get_by_label("Collection", exact=True).locator("option[value=elsewhere]").wait_for(
        state="attached"
    )
    held: list[Route] = []

    def hold(route: Route) -> None:
        """The first one, which asks how large a picture may be."""
        route.continue_() if held else held.append(route)

    page.route("**/api/v1/status", hold)
    hand_in(page, "noted")
    expect(page.locator(".files > li")).to_have_count(3)
    expect(page.get_by_label("Caption for all (optional)")).to_have_value("")
    page.get_by_label("Collection", exact=True).select_option("elsewhere")
    held[0].continue_()
    asked(page).get_by_role("button", name="Send smaller copies").click()
    wait(lambda: len(pictures(strict, "noted")) == 3)  # in the collection that was chosen first


def test_one_answer_holds_for_all_that_were_handed_in_together(
    visitor: Visitor, strict: Service
) -> None:
    """They are measured batch by batch, so that the first are sent while others wait."""
    page = visitor.visit(strict, "/?view=add")
    page.get_by_label("Caption for all (optional)").fill("together")
    small = [payload(f"{number}.png", noise(40, "PNG")) for number in range(BATCH_FILES)]
    large = [payload(f"large {number}.jpg", noise(1600, "JPEG")) for number in range(2)]
    choose(page, large[0], *small, large[1])
    asked(page).get_by_role("button", name="Send smaller copies").click()
    expect(page.locator(".uploads > p")).to_have_text("42 of 42 done · 42 added")
    assert set(pictures(strict, "together")) == {one["name"] for one in [*small, *large]}
