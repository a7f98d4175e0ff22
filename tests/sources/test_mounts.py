"""Which disks a folder lies on."""

from pathlib import Path

import pytest

from app.sources import mounts
from app.sources.mounts import Mount, mounts_of

TABLE = b"""\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv/my\\040photos rw - nfs4 nas:/photos rw
31 30 0:41 / /srv/my\\040photos/phone rw - fuse.sshfs phone: rw
32 22 8:2 / /srv/stick rw - fuseblk /dev/sdb1 rw
33 22 0:42 / /srv/stick rw - vfat /dev/sdc1 rw
34 22 0:43 / /srv/my\\040photos2 rw - tmpfs tmpfs rw
35 22 0:44 / /srv/dav rw - fuse https://cloud/dav rw
"""


@pytest.mark.skipif(not mounts.MOUNTS.exists(), reason="this system has no table of mounts")
def test_this_machines_own(tmp_path: Path) -> None:
    (nearest, *_) = mounts_of(tmp_path)
    assert tmp_path.is_relative_to(nearest.point)


def test_those_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 21, line 26."""
    (tmp_path / "mountinfo").write_bytes(TABLE)
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "mountinfo")

    def kinds(folder: str) -> list[tuple[str, bool]]:
        return [(mount.kind, mount.is_network) for mount in mounts_of(Path(folder))]

    assert kinds("/srv") == [
        ("ext4", False), ("nfs4", True), ("fuse.sshfs", True), ("fuseblk", False),
        ("vfat", False), ("tmpfs", False), ("fuse", True),
    ]  # fmt: skip
    assert kinds("/srv/my photos/2026") == [("nfs4", True)]
    assert kinds("/srv/my photos") == [("nfs4", True), ("fuse.sshfs", True)]
    assert kinds("/srv/stick/deep") == [("vfat", False)], "the last one mounted"
    assert kinds("/home") == [("ext4", False)]


def test_without_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "none")
    assert mounts_of(tmp_path) == ()


def test_another_disk_at_the_same_point_is_another() -> None:
    assert Mount(Path("/a"), "nfs4", "1 0:40") != Mount(Path("/a"), "nfs4", "2 0:41")
