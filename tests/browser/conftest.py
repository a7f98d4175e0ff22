"""A real Chromium before the real service; every test leaves a picture of what it saw."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    expect,
)

from app.access import api_keys
from scripts import chromium
from tests.browser.serving import PICTURES, Service, index, serving, wait
from tests.fixtures.drawn_pictures import png

SCREENSHOTS = Path(__file__).with_name("screenshots")
TIMEOUT_MS = 15_000  # for whatever a test waits for
expect.set_options(timeout=TIMEOUT_MS)
LOADING = "Failed to load resource: the server responded with a status of "


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if chromium.executable() is None:
        pytest.skip(chromium.MISSING)
    with chromium.launched() as launched:
        yield launched


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the server that requests may index."""
    folder = tmp_path_factory.mktemp("source")
    for number in range(2):
        (folder / f"{number}.png").write_bytes(png(4_000 + number))
    return folder


@pytest.fixture(scope="session")
def service(
    browser: Browser, server_url: str, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Open to everybody, with the bundled pictures, and sure of what is chance."""
    changes = {"download_allow": ("127.0.0.1/32",), "source_dirs": (source,)}
    with serving(server_url, "browser", tmp_path_factory.mktemp("open"), **changes) as served:
        index(served.services, PICTURES)
        wait(lambda: served.ask("GET", "/api/v1/search?q=a+tree")["no_match"] is not None)
        yield served


@dataclass(frozen=True)
class Locked:
    """A service that wants a key, and one of its keys."""

    service: Service
    key: str


@pytest.fixture(scope="session")
def locked(
    browser: Browser, server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Locked]:
    folder = tmp_path_factory.mktemp("locked")
    pictures = folder / "pictures"
    pictures.mkdir()
    for name in ("green-tree.jpg", "cat.jpg", "car.jpg", "banana.jpg", "camera.jpg"):
        shutil.copy(PICTURES / name, pictures)
    with serving(server_url, "browser_locked", folder, test_images_dir=pictures) as served:
        index(served.services, pictures)
        with served.services.sessions.begin() as session:
            _, key = api_keys.create(session, "default", "test", "admin", None)
        yield Locked(served, key)


@dataclass
class Visitor:
    """Opens the page as somebody does, and notes what must not happen."""

    browser: Browser
    name: str
    faults: list[str] = field(default_factory=list)
    refusals: set[int] = field(default_factory=set)
    """Statuses that the test means to meet."""

    decisions: list[bool] = field(default_factory=list)
    """How the test means to answer the next questions of the page."""

    questions: list[str] = field(default_factory=list)
    """Those that were answered so."""

    contexts: list[BrowserContext] = field(default_factory=list)

    def visit(
        self,
        service: Service,
        address: str = "/",
        *,
        language: str = "en-GB",
        scheme: Literal["light", "dark"] = "light",
        size: tuple[int, int] = (1280, 900),
        **options: Any,
    ) -> Page:
        """A new tab of a new browser that knows nothing yet."""
        context = self.browser.new_context(
            base_url=service.url,
            locale=language,
            color_scheme=scheme,
            viewport={"width": size[0], "height": size[1]},
            **options,
        )
        context.set_default_timeout(TIMEOUT_MS)
        self.contexts.append(context)
        context.on("page", self._watch)
        context.on("request", lambda request: self._check(request, service.url))
        page = context.new_page()
        page.goto(address)
        return page

    def _watch(self, page: Page) -> None:
        page.on("dialog", self._answer)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))

    def _answer(self, dialog: Dialog) -> None:
        noted = self.questions if self.decisions else self.faults
        noted.append(f"{dialog.type}: {dialog.message}")
        if self.decisions and self.decisions.pop(0):
            dialog.accept()
        else:
            dialog.dismiss()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if message.text.startswith(LOADING):
            status = int(message.text.removeprefix(LOADING)[:3])
            if status in self.refusals:
                return
        self.faults.append(f"{message.type}: {message.text} {message.location}")

    def _check(self, request: Request, url: str) -> None:
        if not request.url.startswith((f"{url}/", "blob:")):
            self.faults.append(f"asked elsewhere: {request.url}")

    def photograph(self, moment: str = "") -> None:
        """Keep what is on each tab that is still open."""
        SCREENSHOTS.mkdir(exist_ok=True)
        name = re.sub(r"[^\w.-]+", "-", f"{self.name} {moment}").removeprefix("test_").strip("-")
        tabs = [page for context in self.contexts for page in context.pages]
        for number, tab in enumerate(tabs):
            path = SCREENSHOTS / f"{name}{f'-{number + 1}' if number else ''}.png"
            tab.screenshot(path=path, animations="disabled")

    def leave(self) -> None:
        for context in self.contexts:
            context.close()


@pytest.fixture
def visitor(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Fails the test where a dialog opens, a script fails, the policy is violated, or another
    host is asked."""
    visitor = Visitor(browser, request.node.name)
    try:
        yield visitor
        visitor.photograph()
    finally:
        visitor.leave()
    assert visitor.faults == []
