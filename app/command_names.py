"""What people type to run a command: a target of the Makefile in a clone, else `picture-search`."""

from pathlib import Path

NAME = "picture-search"
PROGRAM = Path(__file__).resolve().parents[1]
"""The folder of the program and of what it ships with: the clone, or the installed package."""
IS_CLONE = (PROGRAM / "pyproject.toml").is_file()

RENAMED = {
    "create-key": "keys create",
    "list-keys": "keys list",
    "revoke-key": "keys revoke",
    "pull-model": "models pull",
    "compare": "models compare",
    "start": "serve",
    "export": "export dataset",
}
"""Targets that are called otherwise as commands of `picture-search`."""


def typed(target: str, *, by_make: bool = IS_CLONE, **variables: str | int | bool) -> str:
    """The command line of a target: `make create-key ROLE=admin`, or what is the same installed.

    A variable that is True is an option without a value: FIX=1, --fix.
    """
    if by_make:
        values = ((name, 1 if value is True else value) for name, value in variables.items())
        given = (f"{name}={value}" for name, value in values)
        return " ".join(["make", target, *given])
    options = (
        f"--{name.lower().replace('_', '-')}{'' if value is True else f' {value}'}"
        for name, value in variables.items()
    )
    return " ".join([NAME, RENAMED.get(target, target), *options])


CREATE_ADMIN_KEY = typed("create-key", NAMESPACE="default", ROLE="admin", NAME="me")
