"""The units of systemd, by its own check (issue 20)."""

import shutil
import subprocess
from pathlib import Path

import pytest

from app.settings import ROOT
from tests.fixtures.process_environment import PROCESS_SECONDS

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PROGRAM = "/usr/local/bin/picture-search"


def test_there_are_a_server_and_a_worker() -> None:
    assert {unit.stem for unit in UNITS} == {"picture-search", "picture-search-worker"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_no_fault(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = unit.read_text()
    assert f"ExecStart={PROGRAM} " in text
    copied = tmp_path / unit.name
    copied.write_text(text.replace(PROGRAM, "/bin/true"))  # which is there
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copied],
        capture_output=True, text=True, timeout=PROCESS_SECONDS,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if copied.stem in line]
    assert ours == []
    assert done.returncode == 0
