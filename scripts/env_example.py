"""Print `.env.example` from the settings' declarations: `python -m scripts.env_example`."""

from pathlib import Path
from typing import Any

from app.setting_names import names_of
from app.settings import ROOT, Settings

HEADER = """\
# Every setting with its default. Copy this file to .env and change what you need; variables
# of the environment win over .env.
"""


def text() -> str:
    """The complete text of the file."""
    lines = [HEADER]
    for name, field in Settings.model_fields.items():
        lines += [f"# {field.description}", f"{names_of(name)[0]}={shown(field.default)}", ""]
    return "\n".join(lines)


def shown(default: Any) -> str:
    """A default as it is written in `.env`."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, tuple):
        return ",".join(map(shown, default))
    if isinstance(default, Path) and default.is_absolute():
        return str(default.relative_to(ROOT))
    return str(default)


if __name__ == "__main__":
    print(text(), end="")
