"""What the page is made of: its document, and what its scripts may not do."""

import gzip
import html
import json
import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from app.web import page
from app.web.page import ENGLISH, FOLDER

MAX_BYTES = 85_000  # of what a browser loads to show the page, uncompressed
MAX_BYTES_OF_ALL = 140_000  # with all that is loaded when it is needed
MAX_PACKED_BYTES_OF_ALL = 45_000  # likewise, by gzip
LOADED_LATER = (
    *(
        "add.js",
        "shrink.js",
        "status.js",
        "review.js",
        "manage.js",
        "zoom.js",
        "rail.js",
        "map.js",
        "collections.js",
        "keys.js",
        "edit.js",
        "standing.js",
    ),
)
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.js"))
SOURCES = sorted(path.name for path in FOLDER.iterdir() if path.is_file())
IMPORT = re.compile(
    r"""(?:^import\s|^\}\sfrom\s|^import\s[^;"]*\sfrom\s|\bimport\()["'`]([^"'`]+)""", re.MULTILINE
)
STATIC_IMPORT = re.compile(r"""^import\s[^;"]*"\./([\w.]+)";""", re.MULTILINE)
TEXTS = page.read_texts(FOLDER / "texts")
LANGUAGES = list(TEXTS)
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "path", "source", "wbr"}


def source(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


class Reader(HTMLParser):
    """The elements of a document, and the texts of its JSON."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.json = ""
        self.stack: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.stack.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] == "script":
            self.json += data


@pytest.fixture(scope="module", params=LANGUAGES)
def document(client: TestClient, request: pytest.FixtureRequest) -> str:
    answer = client.get("/", headers={"Cookie": f"language={request.param}"})
    assert answer.status_code == 200
    return answer.text


# --- the document


def test_the_document_is_well_formed_and_loads_only_files_of_its_version(document: str) -> None:
    reader = Reader(document)
    assert reader.stack == []
    site = page.site()
    base = f"static/{site.version}/"
    loaded = {
        value
        for tag, attributes in reader.elements
        for name, value in attributes.items()
        if tag in {"link", "script", "img"} and name in {"src", "href"} and value
    }
    assert loaded
    for address in loaded:
        assert address.startswith(base), address
        assert address.removeprefix(base) in site.files
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_is_inline(document: str) -> None:
    for tag, attributes in Reader(document).elements:
        assert tag not in {"style", "iframe", "object", "embed", "base"}
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        if tag == "script":
            assert attributes.get("type") == "application/json" or attributes.get("src")
        for value in attributes.values():
            assert not (value or "").lower().strip().startswith("javascript:")


def test_the_texts_come_with_the_document(document: str) -> None:
    (tag,) = re.findall(r'<html lang="([\w-]+)"', document)
    (texts,) = [one for one in TEXTS.values() if one["language"] == tag]
    assert json.loads(Reader(document).json) == {**TEXTS[ENGLISH], **texts}


def loaded_with(script: str) -> set[str]:
    """The scripts that a browser loads with this one, itself among them."""
    found, waiting = set(), {script}
    while waiting:
        found |= waiting
        imports = {name for one in waiting for name in STATIC_IMPORT.findall(source(one))}
        waiting = imports - found
    return found


def test_what_people_load_first_is_small() -> None:
    """The page opens with the search view; others load their scripts beside it.

    The texts of one language come within the document, and count in what is sent packed.
    """
    files = [page.site().files[name] for name in sorted(loaded_with("main.js"))]
    files += [data for name, data in page.site().files.items() if name.endswith(".css")]
    assert len((page.FOLDER / "index.html").read_bytes()) + sum(map(len, files)) < MAX_BYTES
    for document in page.site().documents.values():
        assert len(gzip.compress(document.body + b"".join(files))) < MAX_BYTES / 2


def test_every_script_belongs_to_a_view() -> None:
    views = (loaded_with(script) for script in ("main.js", *LOADED_LATER))
    assert set.union(*views) == set(SCRIPTS)


def test_all_of_the_page_is_small() -> None:
    """Issue 19: its own HTML, CSS and JavaScript, without the texts, as written and packed."""
    own = [(FOLDER / name).read_bytes() for name in SOURCES if not name.endswith(".svg")]
    assert sum(map(len, own)) <= MAX_BYTES_OF_ALL
    assert len(gzip.compress(b"".join(own))) <= MAX_PACKED_BYTES_OF_ALL


# --- the sources


@pytest.mark.parametrize("name", SOURCES)
def test_no_foreign_host_is_named(name: str) -> None:
    text = source(name).replace("http://www.w3.org/2000/svg", "")
    found = re.findall(r"(?:https?|wss?|ftp):/{2}[\w.-]+|[\"'(=]//[\w-]+\.[\w.-]+", text)
    example = re.compile(r"https?://(?:[\w-]+\.)*example(?:\.\w+)?$")  # RFC 2606, in a hint
    assert [one for one in found if not example.match(one)] == []


ALIASES = re.compile(r"""["'`]/?(?:images/|upload\b|search-by-|search-image|create-feedback)""")


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_use_no_aliases(name: str) -> None:
    """Issue 19, item 4: the home of a resource is below /api/v1."""
    assert ALIASES.findall(source(name)) == []


FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|DOMParser|createContextualFragment|srcdoc"
    r"|document\.write|\beval\b|new Function|\bFunction\(|set(?:Timeout|Interval)\(\s*[\"'`]"
    r"|[\"'.]style[\"']\s*[,\]]|\bstyle:(?! \"(?:percent|unit)\")|cssText|javascript:|createPolicy"
    r"|serviceWorker|console\.log|debugger"
)


KEPT_ON_DEVICE = {"api.js", "typing.js"}
"""Scripts that write what outlives the tab: the key, where the person wants that, and recent
searches, which can be cleared."""


def test_little_outlives_the_tab() -> None:
    assert {name for name in SCRIPTS if "localStorage" in source(name)} == KEPT_ON_DEVICE


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_make_no_markup_of_text(name: str) -> None:
    assert FORBIDDEN.findall(source(name)) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_load_only_modules_that_are_there(name: str) -> None:
    for loaded in IMPORT.findall(source(name)):
        assert loaded.startswith("./")
        assert loaded.removeprefix("./") in SCRIPTS
    assert source(name).startswith(("//", "/**"))


def test_no_class_has_two_meanings() -> None:
    """The map's tiles took the class of the answer's, which then lay on top of each other."""
    own = re.findall(r"^(\.[\w-]+) \{", source("style.css"), re.MULTILINE)
    assert len(own) == len(set(own))


def test_every_file_is_loaded() -> None:
    known = set(page.site().files)
    everything = "".join(source(name) for name in SOURCES)
    named = set(re.findall(r"[\w-]+\.(?:js|css|svg)", everything))
    assert known <= named


def test_the_documents_words_are_texts() -> None:
    """No sentence is written into the document itself, where only one language would have it."""
    plain = re.sub(r"<[^>]*>|\$\{\w+\}|&\w+;", " ", html.unescape(source("index.html")))
    words = set(re.findall(r"[^\W\d_]{2,}", plain))
    assert words == set()
