"""Where the program lies, and where it keeps its data, as a clone and as an installed package."""

import os
from pathlib import Path

from platformdirs import user_data_path

from app.command_names import IS_CLONE, NAME, PROGRAM


def data_root() -> Path:
    """The folder that relative paths start from: the clone, or where a user's programs keep data.

    Root's is a system service's: Postgres runs as another user there, who cannot enter /root.
    """
    if IS_CLONE:
        return PROGRAM
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and not os.environ.get("XDG_DATA_HOME"):
        return Path("/var/lib") / NAME
    return user_data_path(NAME, appauthor=False)


def env_file() -> Path:
    """The `.env`, which may be missing, of the clone.

    Of an installed package, it is that of the current folder, else that of its data.
    """
    here = Path.cwd() / ".env"
    return here if not IS_CLONE and here.exists() else data_root() / ".env"
