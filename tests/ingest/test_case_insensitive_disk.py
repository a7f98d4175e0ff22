"""A folder on a disk that ignores case, as those of cameras, Windows and macOS do."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.ingest.jobs.job_submission import JobOptions
from app.runtime.services import Services
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import ADD, SYNC, counts, rows, run

IMAGE_BYTES = 16_000_000
PROGRAMS = ("losetup", "mkfs.exfat", "mount.exfat-fuse", "umount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An exFAT file system of 16 MB, mounted."""
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"{', '.join(missing)} absent (apt-get install exfat-fuse exfatprogs)")
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    image.write_bytes(b"")
    with image.open("r+b") as file:
        file.truncate(IMAGE_BYTES)
    folder.mkdir()
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    found = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"no loop device: {found.stderr.strip()}")
    device = found.stdout.strip()
    try:
        mounted = subprocess.run(["mount.exfat-fuse", device, folder], capture_output=True)
        if not folder.is_mount():
            pytest.skip(f"exFAT cannot be mounted here: {mounted.stderr.decode().strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.parametrize(("options", "name"), [(ADD, "Pier.PNG"), (SYNC, "Lighthouse.PNG")])
def test_a_rename_in_case_alone_is_a_move(
    services: Services, worker: None, disk: Path, options: JobOptions, name: str
) -> None:
    """Issue 21, line 25: the old spelling still opens the file, so it seemed to be a copy."""
    (disk / "Album").mkdir()
    (disk / "Album" / name).write_bytes(png(len(name)))
    run(services, disk, options)
    before = rows(services)
    (disk / "Album" / name).rename(disk / "Album" / name.lower())
    assert (disk / "Album" / name).exists(), "this disk does not ignore case"
    assert counts(run(services, disk, options)) == {"moved": 1}
    (disk / "Album").rename(disk / "album")
    assert counts(run(services, disk, options)) == {"moved": 1}
    after = rows(services)
    assert after.pop(name.lower()) == before.pop(name)
    assert after == before
