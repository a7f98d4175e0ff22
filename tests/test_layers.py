"""The contracts of import-linter name every module: a new one cannot slip past them."""

import tomllib

import pytest

from app.settings import ROOT

CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def modules() -> set[str]:
    app = ROOT / "app"
    files = {f"app.{path.stem}" for path in app.glob("*.py") if path.stem != "__init__"}
    return files | {f"app.{path.parent.name}" for path in app.glob("*/__init__.py")}


@pytest.mark.parametrize(
    ("contract", "allowed"), [("torch", {"app.encoders"}), ("fastapi", {"app.main", "app.web"})]
)
def test_a_forbidden_contract_covers_every_other_module(contract: str, allowed: set[str]) -> None:
    (found,) = [one for one in CONFIGURATION["contracts"] if one["id"] == contract]
    assert set(found["source_modules"]) == modules() - allowed
