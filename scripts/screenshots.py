"""Take the README's two screenshots of the web page: `make screenshots`.

Starts a server with the demo pictures on a free port and in temporary folders.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.database.embedded.postgres_programs import temporary_folder
from app.settings import ROOT
from scripts import chromium

DOCS = ROOT / "docs"
SIZE = (1280, 860)  # pixels
COLOURS = 256  # in the files: halves their size without a visible difference
TIMEOUT_MS = 60_000
PHOTOGRAPHS = (  # sources of the uploads, cropped: the originals are already indexed
    *("green-tree.jpg", "castle.webp", "cat.jpg", "banana.jpg"),
    *("astronaut.jpg", "dolphin.jpg", "birthday-cake.png", "anchor.jpg"),
)


def main() -> None:
    """Write docs/page-search.png and docs/page-add.png."""
    try:
        with served() as address, chromium.launched() as browser:
            search(browser, address)
            add(browser, address)
    except FileNotFoundError as error:
        sys.exit(str(error))
    for name in ("page-search.png", "page-add.png"):
        print(f"docs/{name}: {(DOCS / name).stat().st_size:,} bytes")


@contextmanager
def served() -> Iterator[str]:
    """The address of a running server that has indexed all demo pictures."""
    with temporary_folder("shots") as folder:
        port = free_port()
        settings = {
            "TESTING": "1",
            "API_PORT": str(port),
            "ENV_FILE": os.devnull,
            "POSTGRES_DIR": f"{folder}/postgres",
            "TEST_UPLOAD_DIR": f"{folder}/uploads",
            "THUMBNAIL_DIR": f"{folder}/thumbnails",
        }
        command = [sys.executable, "-m", "app.main"]
        with subprocess.Popen(  # noqa: S603  # our own program
            command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                wait_until_ready(server)
                yield f"http://127.0.0.1:{port}"
            finally:
                server.terminate()


def free_port() -> int:
    """A port that nothing uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_ready(server: "subprocess.Popen[str]") -> None:
    """Return once the server is ready. Raises SystemExit if it ends instead."""
    for line in server.stdout or ():
        if line.startswith("Ready:"):
            return
    sys.exit("The server has not started: `TESTING=1 make start` says why.")


def search(browser: Browser, address: str) -> None:
    """Take the search view in light colours, with the hits for a few words."""
    page = opened(browser, f"{address}/?q=a+green+tree", "light")
    expect(page.locator("#grid img").first).to_have_attribute("alt", "green-tree.jpg")
    page.reload()  # a server's first query takes longer than the rest
    expect(page.locator("#grid img").first).to_have_attribute("alt", "green-tree.jpg")
    page.wait_for_load_state("networkidle")
    keep(page, "page-search.png")


def add(browser: Browser, address: str) -> None:
    """Take the upload view in dark colours; one of the files is not a picture."""
    page = opened(browser, f"{address}/?view=add", "dark")
    with tempfile.TemporaryDirectory(prefix="handed") as folder:
        files = [copy_of(name, Path(folder)) for name in PHOTOGRAPHS]
        letter = Path(folder) / "letter.txt"
        letter.write_text("Dear reader")
        again = Path(folder) / "the same again.png"
        again.write_bytes(files[0].read_bytes())
        page.get_by_label("Choose files").set_input_files([*files, letter, again])
        done = re.compile(f"{len(files) + 2} of {len(files) + 2}")
        expect(page.locator("#add-view .uploads")).to_contain_text(done, timeout=TIMEOUT_MS)
    page.wait_for_timeout(1_000)  # for the thumbnails and the job's last event
    keep(page, "page-add.png")


def copy_of(name: str, folder: Path) -> Path:
    """A copy of a bundled picture, cropped so that it counts as a new one."""
    path = folder / f"{Path(name).stem}.png"
    with Image.open(ROOT / "data" / "test_images" / name) as image:
        image.convert("RGB").crop((6, 6, *image.size)).save(path)
    return path


def opened(browser: Browser, address: str, scheme: Literal["light", "dark"]) -> Page:
    """The page as a visitor with an English browser sees it."""
    page = browser.new_page(
        viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme=scheme, locale="en-GB"
    )
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(address)
    return page


def keep(page: Page, name: str) -> None:
    """Save a screenshot as a small file."""
    path = DOCS / name
    page.screenshot(path=path, animations="disabled")
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
