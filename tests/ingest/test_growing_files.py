"""Files that are still being written when a job meets them."""

from pathlib import Path

import pytest

from app.errors import SourceUnavailable
from app.runtime.services import Services
from app.sources.folders import read_file
from tests.fixtures.drawn_pictures import encoded, noise, png
from tests.fixtures.folder_jobs import SYNC, counts, rows, run

pytestmark = pytest.mark.usefixtures("worker")

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")


def test_a_file_that_is_being_written_is_taken_once_it_is_complete(
    services: Services, tmp_path: Path
) -> None:
    """Issue 16, folders: never half of it, and its picture of before stays meanwhile."""
    folder = tmp_path / "growing"
    folder.mkdir()
    (folder / "known.png").write_bytes(png(900))
    run(services, folder, SYNC)
    before = rows(services)["known.png"]
    whole = {kind: encoded(noise(901 + n), kind) for n, kind in enumerate(KINDS)}
    files = {f"new.{kind.lower()}": data for kind, data in whole.items()} | {"known.png": png(920)}
    for name, data in files.items():
        (folder / name).write_bytes(data[: len(data) // 2])
    assert counts(run(services, folder, SYNC)) == {"failed": len(files)}
    assert rows(services)["known.png"] == before
    assert not rows(services).keys() & {name for name in files if name.startswith("new")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    assert counts(run(services, folder, SYNC)) == {"added": len(KINDS), "changed": 1}
    assert rows(services)["known.png"] == before


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    place = tmp_path / "a.png"
    place.write_bytes(b"begun ")

    def grow(head: bytes) -> None:
        with place.open("ab") as file:
            file.write(b"and gone on")

    with pytest.raises(SourceUnavailable, match="being written"):
        read_file(place, 1_000, grow)
    assert read_file(place, 1_000) == b"begun and gone on"
