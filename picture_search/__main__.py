"""The command `picture-search`, and `python -m picture_search`."""

import sys
from pathlib import Path
from typing import NoReturn

INSTALLED = Path(__file__).resolve().parent
"""In a wheel, the folder of `app`, `migrations` and `scripts`; a clone has them one higher."""


def run() -> NoReturn:
    """The entry point: make the program's packages importable in this process, and run it."""
    sys.path.insert(0, str(INSTALLED if (INSTALLED / "app").is_dir() else INSTALLED.parent))
    from scripts.launch import quiet_imports

    with quiet_imports():
        from scripts.command_line import run_command
        from scripts.commands import commands
    run_command(commands)


if __name__ == "__main__":
    run()
