"""Somebody hands pictures in, and sees what becomes of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import (
    body_of,
    choose,
    dragged,
    dropped,
    expect_first,
    pasted,
    payload,
    picture,
    query_of,
    search,
    tiles,
)
from tests.browser.serving import SECONDS, Service, wait
from tests.conftest import SHARED
from tests.fixtures import web_server
from tests.fixtures.drawn_pictures import encoded, noise, png
from tests.fixtures.http_jobs import zipped
from tests.fixtures.web_server import Site, http

LONG_MS = SECONDS * 1_000


def made(service: Service, name: str) -> str:
    """The address of the view that adds to a new collection."""
    service.ask("POST", "/api/v1/collections", json={"name": name})
    return f"/?view=add&collection={name}"


def view(page: Page) -> Locator:
    return page.get_by_role("region", name="Add", exact=True)


def line(page: Page, name: str) -> Locator:
    """What is said of one file that was handed in."""
    return view(page).locator(".files").get_by_role("listitem").filter(has_text=name)


def jobs(page: Page) -> Locator:
    return view(page).locator(".jobs > li")


def newest_job(page: Page, service: Service) -> Locator:
    job_id = service.ask("GET", "/api/v1/jobs?limit=1")["data"][0]["id"]
    return jobs(page).filter(has=page.get_by_role("heading", name=re.compile(rf"^#{job_id}\b")))


def test_many_files_each_with_what_became_of_it(
    visitor: Visitor, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("many")
    for number in range(12):
        (folder / f"holiday {number}.png").write_bytes(png(10_000 + number))
    (folder / "the same again.png").write_bytes(png(10_000))
    (folder / "letter.txt").write_text("Dear reader")
    (folder / "broken.jpg").write_bytes(encoded(noise(1), "JPEG")[:300])
    page = visitor.visit(service, made(service, "many"))
    expect(view(page)).to_be_visible()
    dropped(page, *sorted(folder.iterdir()), at=(400, 200))
    expect(line(page, "holiday 11.png")).to_contain_text("added", timeout=LONG_MS)
    expect(line(page, "letter.txt")).to_contain_text("not a picture in one of these formats")
    expect(line(page, "broken.jpg")).to_contain_text("damaged")
    same = view(page).locator(".files").get_by_text("already here")
    expect(same).to_have_count(1)
    whole = view(page).get_by_role("progressbar", name="Your files")
    expect(whole).to_have_js_property("value", 1)
    for text in ("15 of 15", "12 added", "1 already here", "2 refused"):
        expect(view(page)).to_contain_text(text)
    view(page).get_by_role("link", name="Find them").click()
    expect(tiles(page)).to_have_count(12)


def test_a_pasted_picture_is_added(visitor: Visitor, service: Service) -> None:
    """Before, nothing happened in this view; a text is still pasted into its field."""
    page = visitor.visit(service, made(service, "pasted"))
    page.get_by_label("Caption for all").focus()
    pasted(page, picture("birthday-cake.png"))
    expect(line(page, "image.png")).to_contain_text("added", timeout=LONG_MS)
    page.evaluate("navigator.clipboard.writeText('a cake')")
    page.keyboard.press("Control+v")
    expect(page.get_by_label("Caption for all")).to_have_value("a cake")
    expect(view(page).locator(".files").get_by_role("listitem")).to_have_count(1)


def test_back_from_a_picture_that_was_added(visitor: Visitor, service: Service) -> None:
    """Before, the opened picture lay over the view that one had come back to."""
    page = visitor.visit(service, made(service, "seen"))
    choose(page, payload("seen.png", png(10_900)))
    line(page, "seen.png").get_by_role("link", name="See it").click(timeout=LONG_MS)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("dialog")).to_be_hidden()
    line(page, "seen.png").get_by_role("link", name="See it").click(trial=True)
    page.go_forward()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_dropped_folder_is_walked(
    visitor: Visitor, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Issue 21, line 41: before, the folder and all files dropped with it were lost."""
    folder = tmp_path_factory.mktemp("dropped") / "year"
    (folder / "may").mkdir(parents=True)
    for number in range(120):  # the browser hands out a hundred names at a time
        (folder / "may" / f"{number}.png").write_bytes(png(10_200 + number))
    (folder / "may" / ".DS_Store").write_bytes(b"of a Mac")
    (folder / "year.png").write_bytes(png(10_350))
    beside = folder.with_name("beside.png")
    beside.write_bytes(png(10_351))
    page = visitor.visit(service, made(service, "walked"))
    expect(view(page)).to_be_visible()
    dropped(page, folder, beside, at=(400, 200))
    expect(view(page)).to_contain_text("122 of 122", timeout=LONG_MS)
    expect(view(page)).to_contain_text("122 added")
    expect(page.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize("start", ["add", "status"])
def test_what_is_dropped_anywhere_is_added(visitor: Visitor, service: Service, start: str) -> None:
    """Before, the browser showed what fell beside the box or in another view, and left the page."""
    address = made(service, f"beside-{start}")
    page = visitor.visit(service, address.replace("view=add", f"view={start}"))
    expect(page.get_by_role("region", name=start.capitalize(), exact=True)).not_to_be_empty()
    page.get_by_role("heading").first.wait_for()
    dragged(page, picture("cat.jpg"))
    expect(page.locator("#drop")).to_have_text("Let go to add this")
    visitor.photograph(f"dragged over {start}")
    dropped(page, picture("cat.jpg"), at=(1270, 890))
    expect(page.locator("#drop")).to_be_hidden()
    expect(line(page, "cat.jpg")).to_contain_text("added", timeout=LONG_MS)
    assert query_of(page) == {"view": ["add"], "collection": [f"beside-{start}"]}


def test_a_folder_is_taken_with_all_that_is_below(
    visitor: Visitor, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("dropped") / "year"
    for number, month in enumerate(("may", "june")):
        (folder / month).mkdir(parents=True)
        (folder / month / f"{month}.png").write_bytes(png(10_100 + number))
    page = visitor.visit(service, made(service, "years"))
    page.get_by_label("Choose a folder").set_input_files(folder)
    for month in ("may", "june"):
        expect(line(page, f"{month}.png")).to_contain_text("added", timeout=LONG_MS)


def test_uploaded_pictures_are_found(visitor: Visitor, service: Service) -> None:
    with Image.open("data/test_images/green-tree.jpg") as image:
        mine = encoded(image.convert("RGB").rotate(4).resize((300, 300)))
    page = visitor.visit(service, made(service, "own"))
    page.get_by_label("Caption").fill("the tree behind our house")
    choose(page, payload("IMG_1.png", mine), payload("IMG_2.png", png(10_200)))
    expect(line(page, "IMG_1.png")).to_contain_text("added", timeout=LONG_MS)
    page.get_by_role("link", name="Search", exact=True).click()
    search(page, "a green tree")
    expect_first(page, "the tree behind our house")
    expect(tiles(page)).to_have_count(2)
    tiles(page).first.click()
    expect(page.get_by_role("dialog")).to_contain_text("IMG_1.png")


def test_how_much_was_sent_is_seen(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, made(service, "slow"))
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.enable")
    devtools.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400_000},
    )
    choose(page, payload("large.bmp", encoded(noise(2, (900, 600)), "BMP"), "image/bmp"))
    bar = view(page).get_by_role("progressbar", name=re.compile("large.bmp"))
    seen = set()
    while line(page, "large.bmp").get_attribute("data-state") in {"waiting", "sending"}:
        seen.add(round(float(bar.evaluate("one => one.value")), 2))
        page.wait_for_timeout(50)
    assert len(seen) > 3, seen
    expect(line(page, "large.bmp")).to_contain_text("added", timeout=LONG_MS)


def test_a_batch_waits_as_long_as_the_server_asks(visitor: Visitor, service: Service) -> None:
    """Issue 21, line 15: before, a batch that met a rate limit was not sent."""
    visitor.refusals.add(429)
    page = visitor.visit(service, made(service, "patient"))
    refused: list[Route] = []

    def refuse_once(route: Route) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(route)
            route.fulfill(status=429, headers={"Retry-After": "1"}, json={"detail": "later"})

    page.route("**/api/v1/images?*", refuse_once)
    choose(page, payload("patient.png", png(10_400)))
    expect(line(page, "patient.png")).to_contain_text("added", timeout=LONG_MS)
    assert refused


def test_what_was_not_sent_is_sent_again(visitor: Visitor, service: Service) -> None:
    visitor.refusals.add(503)
    page = visitor.visit(service, made(service, "again"))
    visitor.refusals.add(422)
    page.get_by_label("Caption for all").evaluate("one => one.value = 'long '.repeat(3000)")
    choose(page, payload("never.png", png(10_301)))
    expect(line(page, "never.png")).to_contain_text("refused")
    expect(view(page).get_by_role("button", name="Try again")).to_be_hidden()  # it cannot succeed
    page.get_by_label("Caption for all").fill("")
    page.route("**/api/v1/images?*", busy)
    choose(page, payload("one.png", png(10_300)))
    expect(line(page, "one.png")).to_contain_text("not sent Too much at once.")
    page.unroute("**/api/v1/images?*")
    view(page).get_by_role("button", name="Try again").click()
    expect(line(page, "one.png")).to_contain_text("added", timeout=LONG_MS)
    expect(view(page).get_by_role("button", name="Try again")).to_be_hidden()


def busy(route: Route) -> None:
    route.fulfill(status=503, json={"detail": "Too much at once."})


def jpegs(first: int, count: int) -> dict[str, bytes]:
    """Small files that take their time."""
    return {
        f"{number:03}.jpg": encoded(noise(first + number, (640, 480)), "JPEG")
        for number in range(count)
    }


def test_an_archives_job_is_followed_live(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, made(service, "zipped"))
    files = {**jpegs(11_000, 400), "broken.png": png(1)[:60]}  # many batches
    choose(page, payload("holiday.zip", zipped(files), "application/zip"))
    job = jobs(page).first
    expect(job).to_contain_text("holiday.zip", timeout=LONG_MS)
    bar = job.get_by_role("progressbar")
    seen = set()
    while job.get_attribute("data-state") in {"pending", "running"}:
        seen.add(bar.get_attribute("value"))
        page.wait_for_timeout(100)
    assert len(seen) > 3, seen
    expect(job).to_have_attribute("data-state", "succeeded")
    expect(job).to_contain_text("400 added")
    expect(line(page, "holiday.zip")).to_contain_text("400")
    expect(view(page).locator(".uploads > p")).to_have_text(
        "401 of 401 done · 400 added · 1 refused"
    )
    job.get_by_text("1 refused", exact=True).click()
    expect(job.get_by_role("row").filter(has_text="broken.png")).to_contain_text("damaged")


def test_stop_ends_the_jobs_behind_one_that_has_ended(visitor: Visitor, service: Service) -> None:
    """Before, the first job that had ended meanwhile kept all later ones from being stopped."""
    visitor.refusals.add(409)
    page = visitor.visit(service, made(service, "stopped"))
    page.route("**/api/v1/jobs?*", lambda route: None)  # the page does not hear that one ended
    for file in payload("soon.png", png(10_500)), payload("rest.zip", zipped(jpegs(13_000, 400))):
        with page.expect_response("**/api/v1/images?*"):
            choose(page, file)
    long, soon = service.ask("GET", "/api/v1/jobs?limit=2")["data"]
    wait(lambda: service.ask("GET", f"/api/v1/jobs/{soon['id']}")["finished_at"])
    view(page).get_by_role("button", name="Stop").click()
    stopped = ("cancelling", "cancelled")
    wait(lambda: service.ask("GET", f"/api/v1/jobs/{long['id']}")["status"] in stopped)
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_job_is_cancelled(visitor: Visitor, service: Service) -> None:
    page = visitor.visit(service, made(service, "cancelled"))
    choose(page, payload("long.zip", zipped(jpegs(12_000, 400)), "application/zip"))
    job = jobs(page).filter(has_text="long.zip")
    expect(job).to_contain_text("of 400 done", timeout=LONG_MS)  # else nothing is not begun
    job.get_by_role("button", name="Cancel").click()
    expect(job).to_have_attribute("data-state", "cancelled", timeout=LONG_MS)
    expect(job.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(job).to_contain_text("not begun")


def test_a_job_that_goes_with_its_collection_keeps_no_other_from_being_followed(
    visitor: Visitor, service: Service
) -> None:
    """Before, its files were being read for ever, and its absence was said of all jobs."""
    visitor.refusals.add(404)
    made(service, "staying")
    page = visitor.visit(service, made(service, "going"))
    page.route("**/api/v1/jobs?*", lambda route: None)  # the page hears nothing of them
    for name, data in ("gone.zip", zipped(jpegs(14_000, 2))), ("gone.png", png(10_700)):
        with page.expect_response("**/api/v1/images?*"):
            choose(page, payload(name, data))
    page.get_by_label("Collection", exact=True).select_option("staying")
    with page.expect_response("**/api/v1/images?*"):
        choose(page, payload("kept.png", png(10_701)))
    service.ask("DELETE", "/api/v1/collections/going")
    page.unroute("**/api/v1/jobs?*")
    expect(line(page, "kept.png")).to_contain_text("added", timeout=LONG_MS)
    for name in ("gone.zip", "gone.png"):
        expect(line(page, name)).to_contain_text("There is no job with id")
    expect(view(page).locator(".jobs ~ .bad")).to_be_empty()
    assert line(page, "gone.png").get_attribute("data-state") == "failed"


@pytest.fixture
def site() -> Iterator[Site]:
    with web_server.serving() as served:
        served.answers["/pier.png"] = http(200, "Content-Type: image/png", body=png(13_000))
        yield served


def begin(page: Page, place: str) -> None:
    view(page).get_by_text("From web addresses, a folder or a bucket").click()
    view(page).locator("textarea[name=place]").fill(place)
    view(page).get_by_role("button", name="Begin").click()


def test_by_web_addresses(visitor: Visitor, service: Service, site: Site) -> None:
    page = visitor.visit(service, made(service, "urls"))
    address = f"http://127.0.0.1:{site.port}"
    begin(page, f"{address}/pier.png\n{address}/absent.png\nhttp://169.254.169.254/")
    expect(view(page)).to_contain_text("has begun")
    job = newest_job(page, service)
    expect(job).to_have_attribute("data-state", "succeeded", timeout=LONG_MS)
    expect(job).to_contain_text("1 added")
    job.get_by_text("2 refused", exact=True).click()
    expect(job.get_by_role("row").filter(has_text="169.254")).to_contain_text("not allowed")
    expect(job).not_to_contain_text("Trying again does not help")
    site.answers["/absent.png"] = http(200, "Content-Type: image/png", body=png(13_001))
    job.get_by_role("button", name="Try again").click()
    expect(job).to_contain_text("2 added", timeout=LONG_MS)
    expect(job).to_contain_text("1 refused")
    expect(job.get_by_role("button", name="Try again")).to_be_hidden()  # of no help any more
    expect(job).to_contain_text("Trying again does not help these files.")


def say_for_all(page: Page, caption: str, tags: str, marks: str) -> None:
    """Fill in what the pictures that are added next get."""
    page.get_by_label("Caption for all").fill(caption)
    if not page.get_by_label("Tags, with commas between them").is_visible():
        page.get_by_text("Tags and fields for all").click()
    page.get_by_label("Tags, with commas between them").fill(tags)
    page.get_by_role("button", name="Add a field").click()
    page.get_by_label("Field", exact=True).last.fill("marks")
    page.get_by_label("Value", exact=True).last.fill(marks)


@pytest.fixture
def marked(service: Service) -> Iterator[str]:
    """The address of the view that adds to a collection with a field of several marks."""
    made_of = {"name": "marked", "fields": {"marks": "tags"}}
    service.ask("POST", "/api/v1/collections", json=made_of)
    yield "/?view=add&collection=marked"
    service.ask("DELETE", "/api/v1/collections/marked")


def known_of(service: Service) -> list[tuple[str | None, dict[str, object]]]:
    """Caption and metadata of the pictures in the collection with marks."""
    listed = service.ask("GET", "/api/v1/collections/marked/images")["data"]
    return [(one["caption"], one["metadata"]) for one in listed]


def test_what_is_said_for_all_holds_for_web_addresses_too(
    visitor: Visitor, service: Service, site: Site, marked: str
) -> None:
    """Before, tags and fields were left out without a word."""
    page = visitor.visit(service, marked)
    say_for_all(page, "the pier", "quay, sea", '["a, b"]')
    begin(page, f"http://127.0.0.1:{site.port}/pier.png")
    expect(view(page)).to_contain_text("has begun")
    expect(newest_job(page, service)).to_contain_text("1 added", timeout=LONG_MS)
    assert known_of(service) == [("the pier", {"tags": ["quay", "sea"], "marks": ["a, b"]})]
    expect(page.get_by_label("Caption for all")).to_have_value("")  # nor is it said of the next


def test_what_is_said_for_all_is_refused_where_it_cannot_hold(
    visitor: Visitor, service: Service, source: Path, marked: str
) -> None:
    """Before, the page left the caption out of what it sent for a folder."""
    visitor.refusals.add(422)
    page = visitor.visit(service, marked)
    say_for_all(page, "the pier", "", "")
    begin(page, str(source))
    expect(view(page)).to_contain_text("caption and metadata are for URLs")
    expect(page.get_by_label("Caption for all")).to_have_value("the pier")


def test_no_upload_goes_without_what_is_said_for_all(
    visitor: Visitor, service: Service, marked: str
) -> None:
    """Before, pictures came without any field where a tag began with a bracket, or where the
    kinds of the fields could not be asked for."""
    visitor.refusals.add(503)
    page = visitor.visit(service, marked)
    say_for_all(page, "", "", "[old] scans")
    page.route("**/api/v1/collections/marked", busy)
    choose(page, payload("scan.png", png(10_600)))
    expect(line(page, "scan.png")).to_contain_text("not sent Too much at once.")
    page.unroute("**/api/v1/collections/marked")
    view(page).get_by_role("button", name="Try again").click()
    expect(line(page, "scan.png")).to_contain_text("added", timeout=LONG_MS)
    assert known_of(service) == [(None, {"marks": ["[old] scans"]})]


def test_a_folder_of_the_server(visitor: Visitor, service: Service, source: Path) -> None:
    page = visitor.visit(service, made(service, "folder"))
    begin(page, str(source))
    job = newest_job(page, service)
    expect(job).to_have_attribute("data-state", "succeeded", timeout=LONG_MS)
    expect(job).to_contain_text("2 added")


def test_a_folder_is_only_tried(visitor: Visitor, service: Service, source: Path) -> None:
    page = visitor.visit(service, made(service, "tried"))
    view(page).get_by_text("From web addresses, a folder or a bucket").click()
    view(page).get_by_label("Keep in step").check()
    view(page).get_by_label("Only say what would be done").check()
    view(page).locator("textarea[name=place]").fill(str(source))
    view(page).get_by_role("button", name="Begin").click()
    expect(view(page)).to_contain_text("has begun")
    job = newest_job(page, service)
    for text in ("sync", "trial run", "2 added"):
        expect(job).to_contain_text(text, timeout=LONG_MS)
    assert service.ask("GET", "/api/v1/collections/tried")["image_count"] == 0


def test_a_bucket_is_named_by_its_address(visitor: Visitor, service: Service) -> None:
    visitor.refusals |= {403, 422}
    page = visitor.visit(service, made(service, "bucket"))
    with page.expect_request("**/api/v1/images?*") as asked:
        begin(page, "s3://pictures/photos/2026")
    assert body_of(asked.value)["source"] == {"bucket": "pictures", "prefix": "photos/2026"}
    expect(view(page).get_by_role("status").filter(has_text="bucket")).to_be_visible()


def test_what_the_server_refuses_is_said_beside_the_button(
    visitor: Visitor, service: Service
) -> None:
    visitor.refusals |= {403, 422}
    page = visitor.visit(service, made(service, "refused"))
    begin(page, "/etc")
    expect(view(page)).to_contain_text("not open to requests")


@pytest.mark.skipif(not (SHARED / "hostile").is_dir(), reason="../shared/hostile is absent")
def test_hostile_files_are_refused_one_by_one(visitor: Visitor, service: Service) -> None:
    files = sorted(one for one in (SHARED / "hostile").iterdir() if one.suffix != ".csv")
    page = visitor.visit(service, made(service, "hostile"))
    page.get_by_label("Choose files").set_input_files(files)
    rows = view(page).locator(".files > li")
    expect(rows).to_have_count(len(files))
    expect(view(page)).to_contain_text(f"{len(files)} of {len(files)}", timeout=3 * LONG_MS)
    refused = rows.and_(page.locator("[data-state=failed]"))
    assert refused.count() > len(files) / 3
    for number in range(refused.count()):
        words = refused.nth(number).text_content() or ""
        assert len(words) > 40, words  # a reason


def test_uploads_are_stopped_and_described_together(visitor: Visitor, service: Service) -> None:
    """Issue 19, item 15: tags and fields for all; the first request is held until all stop."""
    page = visitor.visit(service, "/?view=add")
    page.get_by_text("Tags and fields for all").click()
    page.get_by_label("Tags, with commas between them").fill("stopped")
    page.get_by_role("button", name="Add a field").click()
    page.get_by_label("Field", exact=True).fill("stars")
    page.get_by_label("Value", exact=True).fill("3")
    page.route("**/api/v1/images?*", lambda route: None)
    choose(page, *(payload(f"{number}.png", png(9_000 + number)) for number in range(45)))
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("45 not begun").first).to_be_visible()
    tags, name, value = (
        page.get_by_label(label, exact=True)
        for label in ("Tags, with commas between them", "Field", "Value")
    )
    for field in (tags, name, value):  # what was said of these is not said of the next
        expect(field).to_have_value("")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    page.unroute("**/api/v1/images?*")
    tags.fill("stopped")
    name.fill("stars")
    value.fill("3")
    choose(page, payload("kept.png", png(9_100)))
    expect(
        page.get_by_text("1 of 46 done · 1 added · 45 not begun").first
    ).to_be_visible()  # not an earlier job
    where = json.dumps({"tags": {"contains": "stopped"}})
    (found,) = service.ask("GET", "/api/v1/collections/default/images", params={"filter": where})[
        "data"
    ]
    assert found["metadata"] == {"tags": ["stopped"], "stars": 3}
    page = visitor.visit(service, f"/?hit={found['id']}")
    expect(page.get_by_role("dialog").get_by_text("stars", exact=True)).to_be_visible()
