"""What is new in the running version (issue 19, item 16)."""

from fastapi.testclient import TestClient

from app import VERSION
from app.web.release_notes import CHANGELOG, NoteGroup, read_notes

TEXT = """# Changelog

## Unreleased

### Added

- A **search**, see
  [the page](docs/search.md), by `make start`.
- Another.

A paragraph that is no entry.

## [0.2.0] - 2026-11-30

### Fixed

- A fault.

## 0.1.0

### Added

- The first.
"""


def test_the_notes_of_a_version_are_read() -> None:
    assert read_notes(TEXT, "0.2.0") == (NoteGroup("Fixed", ("A fault.",)),)
    assert read_notes(TEXT, "0.1.0") == (NoteGroup("Added", ("The first.",)),)
    added = ("A search, see the page, by `make start`.", "Another.")
    assert read_notes(TEXT, "0.3.0") == (NoteGroup("Added", added),)
    assert read_notes("# Changelog\n", "0.1.0") == ()


def test_the_running_version_says_what_is_new(client: TestClient) -> None:
    answer = client.get("/api/v1/release-notes").json()
    assert answer["version"] == VERSION
    notes = [note for group in answer["data"] for note in group["notes"]]
    written = CHANGELOG.read_text("utf-8").partition(f"\n## {VERSION} ")[2]
    assert len(notes) == written.partition("\n## ")[0].count("\n- ") > 0
    assert all(note and "\n" not in note and "](" not in note for note in notes)
