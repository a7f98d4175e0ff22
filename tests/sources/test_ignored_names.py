"""Files and folders of NAS systems and other programs: alike in folders, buckets and archives."""

import io
import zipfile
from pathlib import Path

import pytest

from app.errors import SettingsInvalid
from app.settings import IGNORED_NAMES, ROOT, Settings
from app.sources.archives.archives import entries
from app.sources.archives.decompression import ArchiveLimits
from app.sources.bucket_folders import BucketFolder
from app.sources.folders import Folder
from app.sources.ignored_names import IgnoredNames
from app.sources.interfaces import PassedOver, Source, SourceFile, Unlisted
from tests.fixtures.s3_server import S3

DEFAULT = IgnoredNames(IGNORED_NAMES)
TREE = (
    "a.jpg",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "deep/@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg",
    "#recycle/gone.jpg",
    "#snapshot/GMT-1/a.jpg",
    "@Recycle/gone.jpg",
    "$RECYCLE.BIN/S-1-5/$R1.jpg",
    "$Recycle.Bin/S-1-5/$R2.jpg",
    "Catalog Previews.lrdata/0/1.jpg",
    "Photos Library.photoslibrary/resources/derivatives/1.jpeg",
    "Photos Library.photoslibrary/originals/0/1.jpeg",
    ".trash/gone.jpg",
    ".DS_Store",
    "._a.jpg",
    "Thumbs.db",
    "deep/THUMBS.DB",
    "desktop.ini",
    ".thumbnails/1.jpg",
    ".stfolder/1.jpg",
    ".trashed-1699999999-a.jpg",
    "resources/kept.jpg",
)
KEPT = ["Photos Library.photoslibrary/originals/0/1.jpeg", "a.jpg", "resources/kept.jpg"]


def listed(source: Source) -> list[SourceFile | Unlisted]:
    return [one for one in source.files() if not isinstance(one, PassedOver)]


def test_a_folder_of_a_nas(tmp_path: Path) -> None:
    """Issue 21, line 21."""
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    folder = Folder(tmp_path, ROOT, DEFAULT)
    found = [file.path.removeprefix(folder.prefix) for file in listed(folder)]
    assert found == KEPT
    assert [name for name in TREE if not folder.ignores(folder.prefix + name)] == sorted(
        KEPT, key=TREE.index
    )
    library = Folder(tmp_path / "Photos Library.photoslibrary", ROOT, DEFAULT)
    assert [Path(file.path).parent.name for file in listed(library)] == ["0"]
    asked = Folder(tmp_path / "@eaDir", ROOT, DEFAULT)  # whoever names it wants it
    assert len(list(asked.files())) == 1


def test_a_bucket(s3: S3) -> None:
    """Issue 21, line 21."""
    for name in TREE:
        s3.put("pictures", f"photos/{name}", b"x")
    for prefix in ("photos/", "pho", ""):
        folder = BucketFolder(s3.bucket("pictures"), prefix, DEFAULT)
        found = [file.path.removeprefix("s3://pictures/photos/") for file in listed(folder)]
        assert found == KEPT
        assert len(list(folder.files())) == len(TREE), "the others are counted"
    asked = BucketFolder(s3.bucket("pictures"), "photos/@eaDir/", DEFAULT)
    assert len(list(asked.files())) == 1


def test_an_archive(tmp_path: Path) -> None:
    """Issue 21, line 21."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in TREE:
            archive.writestr(name, b"x")
    (tmp_path / "a.zip").write_bytes(packed.getvalue())
    limits = ArchiveLimits(max_file_bytes=10)
    found = [one.name for one in entries(tmp_path / "a.zip", limits, ignored=DEFAULT)]
    assert sorted(found) == KEPT


def test_the_list_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IGNORED_NAMES", "_private, *_thumb.jpg")
    ignored = IgnoredNames(Settings.load().ignored_names)
    assert [ignored.has(name) for name in ("_private", "a_THUMB.JPG", "@eaDir", ".hidden")] == [
        True, True, False, True
    ]  # fmt: skip
    for everything in ("*", "a/b/c", "**/*", "/", "?"):
        monkeypatch.setenv("IGNORED_NAMES", everything)
        with pytest.raises(SettingsInvalid, match="IGNORED_NAMES"):
            Settings.load()
