"""Tables in archives: names that differ in case or composition, and rows that meet no picture."""

import io
import zipfile
from pathlib import Path

import pytest

from app.errors import ArchiveRejected
from app.sources.archives.archives import annotations, entries
from app.sources.archives.decompression import ArchiveLimits

LIMITS = ArchiveLimits(max_file_bytes=1_000)
COMPOSED, DECOMPOSED = "M\u00fcnchen.jpg", "Mu\u0308nchen.jpg"


def zipped(place: Path, *names: str, **files: str) -> Path:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
        for name, text in files.items():
            archive.writestr(f"{name}.csv", text)
    (place / "a.zip").write_bytes(packed.getvalue())
    return place / "a.zip"


def test_names_differ_in_case_and_composition(tmp_path: Path) -> None:
    """Issue 21, line 28: names of macOS are decomposed, cameras write capitals."""
    table = f"file_name,caption\ndsc1.jpg,one\n{COMPOSED},two\ndeep/A.JPG,three\n"
    archive = zipped(tmp_path, "DSC1.JPG", DECOMPOSED, "Deep/a.jpg", metadata=table)
    told = annotations(archive, LIMITS)
    captions = {name: one.caption for name, one in told.by_name.items()}
    assert captions == {"DSC1.JPG": "one", DECOMPOSED: "two", "Deep/a.jpg": "three"}
    assert told.unmatched == {}


def test_an_exact_name_wins_and_two_alike_are_not_guessed(tmp_path: Path) -> None:
    """Issue 21, line 28."""
    table = "file_name,caption\na.jpg,exact\nB.JPG,which\nnone.jpg,gone\n"
    archive = zipped(tmp_path, "a.jpg", "A.jpg", "b.jpg", "B.jpg", metadata=table)
    told = annotations(archive, LIMITS)
    assert told.by_name["a.jpg"].caption == "exact"
    assert told.by_name.keys().isdisjoint({"A.jpg", "b.jpg", "B.jpg"})
    assert told.unmatched == {"metadata.csv": ["B.JPG", "none.jpg"]}


def test_a_sidecar_in_other_letters_belongs_to_its_picture(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("DSC1.JPG", b"x")
        archive.writestr("dsc1.jpg.json", '{"caption": "one"}')
    (tmp_path / "a.zip").write_bytes(packed.getvalue())
    assert annotations(tmp_path / "a.zip", LIMITS).by_name["DSC1.JPG"].caption == "one"


def test_sidecars_do_not_use_up_the_entries(tmp_path: Path) -> None:
    """Issue 21, line 28."""
    names = [name for number in range(5) for name in (f"{number}.jpg", f"{number}.jpg.json")]
    archive = zipped(tmp_path, *names)
    assert len(list(entries(archive, ArchiveLimits(max_file_bytes=10, max_entries=5)))) == 5
    for few in (
        zipped(tmp_path, *names, "5.jpg"),
        zipped(tmp_path, *names, "5.json"),
    ):
        with pytest.raises(ArchiveRejected, match="more than 5 entries"):
            list(entries(few, ArchiveLimits(max_file_bytes=10, max_entries=5)))
