"""What the docs say is what the code has."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import VERSION
from app.setting_names import PREFIX, names_of
from app.settings import ROOT, Settings
from scripts.generated_docs import generated

DOCS = ROOT / "docs"
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in DOCS.glob("*.md"))]
CODE = ("app", "benchmarks", "migrations", "scripts", "tests")
OTHER_VARIABLES = {
    "CHROMIUM",  # scripts/chromium.py
    "ENV_FILE",  # app/settings.py
    "FORWARDED_ALLOW_IPS",  # uvicorn
    "KEY",  # scripts/server_requests.py
    "OTEL_TRACES_SAMPLER",  # opentelemetry-sdk
    "TORCH_BACKEND",  # scripts/install.sh
    "XDG_DATA_HOME",  # platformdirs
}
README_LINES = 200  # a stranger reads the README whole; everything else is a page of docs/


def page_text(page: str) -> str:
    return (ROOT / page).read_text()


def prose(page: str) -> str:
    """A page without its blocks of code, which hold no links and no headings."""
    return re.sub(r"^```.*?^```$", "", page_text(page), flags=re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: str) -> list[tuple[str, str]]:
    """The links of a page into this repository: each a path (empty: the page) and an anchor."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    parts = [link.partition("#") for link in found if not link.startswith("http")]
    return [(path, anchor) for path, _, anchor in parts]


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def routes_named_in(page: str) -> set[tuple[str, str]]:
    return set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?\s]*)", page_text(page)))


def served_routes(client: TestClient) -> set[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_the_version_is_the_one_of_pyproject() -> None:
    assert tomllib.loads(page_text("pyproject.toml"))["project"]["version"] == VERSION


def test_the_newest_release_is_the_running_version() -> None:
    """Releases have a version and a date, newest first; what is not released yet is on top."""
    headings = re.findall(r"^## (.+)$", page_text("CHANGELOG.md"), re.MULTILINE)
    if headings[0] == "Unreleased":
        headings.pop(0)
    releases = [re.fullmatch(r"(\d+\.\d+\.\d+) \((\d{4}-\d\d-\d\d)\)", one) for one in headings]
    told = [([int(part) for part in one[1].split(".")], one[2]) for one in releases if one]
    assert len(told) == len(headings) > 1
    assert told == sorted(told, reverse=True)
    assert headings[0].startswith(f"{VERSION} ")
    assert f"Starting version {VERSION} " in page_text("README.md")


def test_the_readme_is_short() -> None:
    assert len(page_text("README.md").splitlines()) <= README_LINES


def test_the_index_of_the_docs_lists_every_page() -> None:
    listed = {path for path, _ in links("docs/README.md") if "/" not in path}
    assert listed == {page.name for page in DOCS.glob("*.md")} - {"README.md"}


def test_api_md_lists_exactly_the_routes(client: TestClient) -> None:
    assert routes_named_in("docs/api.md") == served_routes(client)


def test_routes_named_in_the_docs_are_served(client: TestClient) -> None:
    named = {(page, *route) for page in PAGES for route in routes_named_in(page)}
    served = served_routes(client)
    wrong = [each for each in named if each[1:] not in served]
    assert named
    assert not wrong


def test_every_reference_of_the_openapi_document_leads_somewhere(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert references
    for reference in set(references):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_commands_in_the_docs_are_targets() -> None:
    """A command is what follows a prompt or begins a span of code, after variables if any."""
    command = re.compile(r"(?:^\$ |`)(?:[A-Z_]+=\S* )*make ([a-z][a-z-]*)", re.MULTILINE)
    named = {(page, target) for page in PAGES for target in command.findall(page_text(page))}
    targets = makefile_targets()
    assert named
    assert not [each for each in named if each[1] not in targets]


def test_variables_named_in_the_docs_exist() -> None:
    """A variable is a setting, one of its old names, one of the Makefile's, or read elsewhere."""
    known = {name for field in Settings.model_fields for name in names_of(field)}
    known |= {PREFIX, *OTHER_VARIABLES}
    known |= set(re.findall(r"\$\((?:if \$\(|or \$\()?([A-Z_]+)\)", page_text("Makefile")))
    known |= set(re.findall(r"\$\{([A-Z_]+)", page_text("compose.yaml")))
    named = {
        (page, variable)
        for page in [*PAGES, "CHANGELOG.md"]
        for variable in re.findall(r"`([A-Z][A-Z0-9_]{2,})(?:=[^`]*)?`", page_text(page))
    }
    assert named
    assert not [each for each in named if each[1] not in known]


def test_every_target_explains_itself() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in makefile_targets():
        assert re.search(rf"make {target}\s+\S", shown), target
    operation, development = shown.split("\nDevelopment\n")  # issue 20: operators' targets first
    assert "make backup " in operation
    assert "make test " in development


@pytest.mark.parametrize("path", [".env.example", "docs/settings.md", "docs/api.md"])
def test_make_docs_would_change_nothing(path: str) -> None:
    """Issue 19, line 19: settings and routes are described where they are declared."""
    assert generated()[path] == page_text(path), "run `make docs`"


def test_modules_named_in_docs_and_code_exist() -> None:
    """A module is named by its file, with as many of its folders as tell it apart."""
    modules = [path.relative_to(ROOT) for top in CODE for path in (ROOT / top).rglob("*.py")]
    named = {
        (page, module)
        for page in [*PAGES, "CHANGELOG.md", "data/models/demo/README.md", *map(str, modules)]
        for module in re.findall(r"`([a-z0-9_/]+\.py)`", page_text(page))
    }
    files = [f"/{path}" for path in modules]
    missing = [each for each in named if not any(file.endswith(f"/{each[1]}") for file in files)]
    assert named
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for path, anchor in links(page):
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(str(target.relative_to(ROOT))), f"{path}#{anchor}"


def test_the_lock_fits_the_project(tmp_path: Path) -> None:
    """Resolving again with the lock as a starting point must change nothing in it."""
    lock = tmp_path / "requirements.lock"
    lock.write_text((ROOT / "requirements.lock").read_text())
    subprocess.run(
        [
            ROOT / ".venv" / "bin" / "uv", "pip", "compile", "pyproject.toml", "--extra", "dev",
            "--universal", "--generate-hashes", "--no-annotate", "--no-header", "--quiet",
            "--output-file", lock,
        ],
        cwd=ROOT, check=True,
    )  # fmt: skip
    committed = (ROOT / "requirements.lock").read_text()
    body = "".join(line for line in committed.splitlines(True) if not line.startswith("#"))
    assert lock.read_text() == body


def test_the_lock_names_no_index() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
