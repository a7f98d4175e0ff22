"""A video is found by a frame, and plays from there."""

import re
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import expect

from scripts.drawn_videos import film
from tests.browser.axe import violations
from tests.browser.conftest import Visitor
from tests.browser.seeing import dialog, open_first, search
from tests.browser.serving import PICTURES, Service
from tests.fixtures.extras import needs_video
from tests.fixtures.videos import reading_videos

FILMS = "/api/v1/collections/films"


@pytest.fixture
def films(service: Service) -> Iterator[str]:
    """A collection with a video of two scenes, three seconds each."""
    service.ask("POST", "/api/v1/collections", json={"name": "films", "pages": "all"})
    scenes = [(Image.open(PICTURES / name), 3) for name in ("green-tree.jpg", "pizza.jpg")]
    with reading_videos():
        files = {"files": ("holiday.mp4", film(scenes))}
        service.job(params={"collection": "films"}, files=files)
        yield "collection=films"
    service.ask("DELETE", FILMS)


@needs_video
def test_a_video_plays_from_the_scene_that_was_found(
    visitor: Visitor, service: Service, films: str
) -> None:
    page = visitor.visit(service, f"/?{films}")
    search(page, "a pizza")
    open_first(page)
    play = dialog(page).get_by_role("link", name="Play from 00:00:03")
    expect(play).to_have_attribute("href", re.compile(r"^api/v1/images/\d+/file\?.*#t=3"))
    expect(dialog(page)).not_to_contain_text("page ")
    assert violations(page) == []
    address = play.evaluate("one => one.href")
    assert service.http.get(address).headers["content-type"] == "video/mp4"
