"""XMP sidecars as this project writes them, read by itself and by other programs."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.pictures.metadata.xmp import read_xmp
from app.pictures.metadata.xmp_writing import is_ours, xmp_packet

CAPTION = 'Grandma & "Grandpa" on the <pier>\n海边'
SAID: dict[str, Any] = {
    "title": "The pier",
    "tags": ["Lisbon", "sea & sun", "海"],
    "people": ["Grandma"],
    "rating": 4,
    "label": "Red",
    "creator": "Ana",
    "copyright": "© Ana",
    "place": {"city": "Lisboa", "country": "Portugal"},
}


def test_what_is_written_is_read_again() -> None:
    packet = xmp_packet(CAPTION, SAID)
    assert packet is not None
    assert is_ours(packet)
    read = read_xmp(packet)
    assert (read.caption, read.title, read.tags) == (CAPTION, "The pier", tuple(SAID["tags"]))
    assert (read.people, read.rating, read.label) == (("Grandma",), 4, "Red")
    assert (read.creator, read.copyright) == ("Ana", "© Ana")
    assert (read.city, read.state, read.country) == ("Lisboa", None, "Portugal")


def test_a_rejected_picture_and_one_without_a_rating() -> None:
    rejected, unrated = xmp_packet(None, {"rating": -1}), xmp_packet("a", {})
    assert rejected is not None
    assert unrated is not None
    assert read_xmp(rejected).rating == -1
    assert read_xmp(unrated).rating is None


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"tags": [], "camera": "X100"},
        {"tags": "a", "rating": True, "label": 3, "place": "Rome", "title": ["a"]},
        {"rating": 9},
        {"tags": [1, None]},
    ],
)
def test_nothing_to_say(metadata: dict[str, Any]) -> None:
    assert xmp_packet(None, metadata) is None


def test_characters_that_xml_cannot_hold_are_left_out() -> None:
    packet = xmp_packet("a\x0bb\ufffe", {"label": "c\x1bd"})
    assert packet is not None
    assert (read_xmp(packet).caption, read_xmp(packet).label) == ("ab", "cd")


@pytest.mark.parametrize(
    "command",
    [
        ["exiv2", "-px", "print"],
        ["exiftool", "-a", "-G1", "-s", "-charset", "filename=utf8"],
    ],
    ids=lambda command: command[0],
)
def test_other_programs_read_it(tmp_path: Path, command: list[str]) -> None:
    """Issue 16, write back; Debian's programs, on which digiKam, darktable and others rely."""
    if shutil.which(command[0]) is None:
        package = {"exiftool": "libimage-exiftool-perl"}.get(command[0], command[0])
        pytest.skip(f"{command[0]} absent (apt-get install {package})")
    packet = xmp_packet("Grandma on the pier", SAID)
    assert packet is not None
    (tmp_path / "a.xmp").write_bytes(packet)
    done = subprocess.run([*command, tmp_path / "a.xmp"], capture_output=True, check=True)
    shown = done.stdout.decode()
    for text in ("Grandma on the pier", "The pier", "Lisbon", "sea & sun", "Red", "Lisboa"):
        assert text in shown
    assert "Rating" in shown
