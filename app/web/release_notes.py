"""What is new in the running version, as CHANGELOG.md says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from app import VERSION

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
UNRELEASED = "Unreleased"  # the heading of what no version has yet
MARKED = re.compile(r"\[([^\]]*)\]\([^)]*\)|\*\*([^*`]+)\*\*")  # a link, or bold
RELEASE = re.compile(r"^## \[?([^\]\s]+)", re.MULTILINE)


@dataclass(frozen=True)
class NoteGroup:
    """Notes under one heading: Added, Changed, Fixed. Words between backticks are code."""

    title: str
    notes: tuple[str, ...]


@lru_cache(maxsize=1)
def release_notes() -> tuple[NoteGroup, ...]:
    """The notes of the running version; empty where the program was installed without them."""
    try:
        return read_notes(CHANGELOG.read_text("utf-8"), VERSION)
    except OSError:
        return ()


def read_notes(changelog: str, version: str) -> tuple[NoteGroup, ...]:
    """The notes of a version, or of what is unreleased while the version has none."""
    parts = RELEASE.split(changelog)[1:]
    releases = dict(zip(parts[::2], parts[1::2], strict=True))
    text = releases.get(version, releases.get(UNRELEASED, ""))
    groups = (part.partition("\n") for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:])
    return tuple(NoteGroup(title.strip(), tuple(_entries(body))) for title, _, body in groups)


def _entries(body: str) -> Iterator[str]:
    """The entries of a Markdown list, without line breaks, links and bold type."""
    for entry in re.split(r"^- ", body, flags=re.MULTILINE)[1:]:
        yield MARKED.sub(r"\1\2", " ".join(entry.split("\n\n")[0].split()))
