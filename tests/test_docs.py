"""What the docs say is what the code has."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.settings import ROOT, Settings
from scripts.env_example import shown

README = ROOT / "README.md"


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def readme_routes() -> set[tuple[str, str]]:
    found = re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?\s]*)", README.read_text())
    return set(found)


def test_the_readme_lists_exactly_the_routes(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert readme_routes() == served


def test_every_reference_of_the_openapi_document_leads_somewhere(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(document))
    assert references
    for reference in set(references):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_commands_in_the_docs_are_targets(page: str) -> None:
    commands = set(re.findall(r"\bmake ([a-z][a-z-]*)", (ROOT / page).read_text()))
    assert commands
    assert commands <= makefile_targets()


def test_every_target_explains_itself() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in makefile_targets():
        assert re.search(rf"make {target}\s+\S", shown), target


def settings_table() -> str:
    rows = (
        f"| `{name.upper()}` | {shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    )
    return "\n".join(rows)


def test_the_readme_lists_every_setting_with_its_default() -> None:
    assert settings_table() in README.read_text(), f"expected:\n{settings_table()}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/decisions.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target


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
