"""Messages name a command as it is typed where the program runs."""

from typing import Any

import pytest
from typer.testing import CliRunner

from app.command_names import CREATE_ADMIN_KEY, RENAMED, typed
from app.settings import ROOT
from scripts.commands import commands


@pytest.mark.parametrize(
    ("target", "variables", "made", "installed"),
    [
        ("doctor", {"FIX": True}, "make doctor FIX=1", "picture-search doctor --fix"),
        (
            "create-key",
            {"NAMESPACE": "default", "ROLE": "admin"},
            "make create-key NAMESPACE=default ROLE=admin",
            "picture-search keys create --namespace default --role admin",
        ),
        ("revoke-key", {"ID": 1}, "make revoke-key ID=1", "picture-search keys revoke --id 1"),
        ("start", {}, "make start", "picture-search serve"),
    ],
)
def test_a_command_in_a_clone_and_installed(
    target: str, variables: dict[str, Any], made: str, installed: str
) -> None:
    assert typed(target, by_make=True, **variables) == made
    assert typed(target, by_make=False, **variables) == installed
    assert typed(target, **variables) == made  # the tests run in a clone


@pytest.mark.parametrize(("target", "command"), RENAMED.items())
def test_both_names_of_a_command_are_there(target: str, command: str) -> None:
    assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8")
    assert CliRunner().invoke(commands, [*command.split(), "--help"]).exit_code == 0


def test_an_admins_key_is_made_in_one_line() -> None:
    assert CREATE_ADMIN_KEY == "make create-key NAMESPACE=default ROLE=admin NAME=me"
