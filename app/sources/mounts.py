"""Which disks a folder lies on: a network disk does not report the changes that others make."""

import os
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")  # Linux; other systems tell nothing this way
NETWORK_DISKS = {
    *("9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"),
    *("beegfs", "gpfs", "ncpfs", "orangefs"),
    # Folders of a virtual machine's host.
    *("drvfs", "fakeowner", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"),
    "fuse",  # of a program that does not name its kind: davfs2
}
FUSE = "fuse."  # sshfs, rclone and the like; a local disk by FUSE is `fuseblk`


@dataclass(frozen=True)
class Mount:
    """A disk at a mount point; `identity` differs whenever another one is mounted there."""

    point: Path
    kind: str
    identity: str

    @property
    def is_network(self) -> bool:
        """Whether changes that others make to its files are not reported."""
        return self.kind in NETWORK_DISKS or self.kind.startswith(FUSE)


def mounts_of(folder: Path) -> tuple[Mount, ...]:
    """The disk that the folder lies on, and those mounted below it; none if it is not known."""
    try:
        lines = MOUNTS.read_bytes().splitlines()
    except OSError:
        return ()
    every = [_parsed(line) for line in lines]
    above = [mount for mount in every if folder.is_relative_to(mount.point)]
    below = [mount for mount in every if mount.point.is_relative_to(folder)]
    nearest = max(above, key=lambda mount: len(mount.point.parts), default=None)
    last = [mount for mount in above if nearest and mount.point == nearest.point][-1:]
    return (*last, *(mount for mount in below if mount not in last))


def _parsed(line: bytes) -> Mount:
    """A line as proc(5) has it: `id parent major:minor root point options … - kind source …`."""
    fields, _, rest = line.partition(b" - ")
    number, _, device, _, point, *_ = fields.split(b" ")
    # Blanks and backslashes of a mount point are escaped in octal.
    name = point.decode("unicode_escape").encode("latin-1")
    return Mount(Path(os.fsdecode(name)), rest.split(b" ")[0].decode(), f"{number!r} {device!r}")
