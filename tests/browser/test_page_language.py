"""What the page says in the reader's language."""

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.seeing import payload
from tests.browser.serving import SECONDS, Service
from tests.browser.test_adding import made
from tests.fixtures.drawn_pictures import png

LONG_MS = SECONDS * 1_000


def test_refusals_are_told_in_the_pages_language(visitor: Visitor, service: Service) -> None:
    """Before, the reasons were English in each language, and a retry was offered for nothing."""
    visitor.refusals |= {403, 422}
    page = visitor.visit(service, made(service, "reasons"), language="de-DE")
    broken = payload("broken.png", png(1)[:60])
    page.get_by_label("Dateien wählen").set_input_files(
        [broken, payload("letter.txt", b"Dear reader", "text/plain")]
    )
    rows = page.locator(".files").get_by_role("listitem")
    expect(rows.filter(has_text="letter.txt")).to_contain_text("Das ist kein Bild", timeout=LONG_MS)
    expect(rows.filter(has_text="broken.png")).to_contain_text("abgelehnt Die Datei ist beschädigt")
    job = page.locator(".jobs > li").filter(has_text="→ reasons")
    job.get_by_text("2 abgelehnt", exact=True).click()
    expect(job.get_by_role("row").filter(has_text="broken.png")).to_contain_text("beschädigt")
    expect(job).to_contain_text("Ein neuer Versuch hilft diesen Dateien nicht.")
    expect(job.get_by_role("button", name="Erneut versuchen")).to_be_hidden()
    visitor.photograph("refused")
    page.get_by_text("Von Webadressen, aus einem Ordner oder Bucket").click()
    page.locator("#add-view").locator("textarea[name=place]").fill("/etc")
    page.locator("#add-view").get_by_role("button", name="Beginnen").click()
    expect(page.locator("#add-view")).to_contain_text("nicht freigegeben")
    page.goto('/?q=tree&filter={"width":{"gte":"wide"}}')
    expect(page.get_by_role("alert")).to_contain_text(
        "Dieser Filter ist nicht möglich. Einzelheiten auf Englisch: "
    )
