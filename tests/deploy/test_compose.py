"""compose.yaml by its own validator, and its agreement with the Containerfile (issue 20)."""

import json
import re
import shutil
import subprocess

import pytest

from app.settings import ROOT
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

VALIDATORS = (["docker-compose"], ["docker", "compose"])


def validator() -> list[str]:
    """A compose that checks the file; skips the test where there is none."""
    for command in VALIDATORS:
        if shutil.which(command[0]) and not _run(*command, "version").returncode:
            return command
    pytest.skip("no compose that checks its file is installed: apt-get install docker-compose")


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=PROCESS_SECONDS
    )


@pytest.mark.parametrize("profiles", [[], ["--profile", "monitoring"]])
def test_the_compose_file_is_valid(profiles: list[str]) -> None:
    done = _run(*validator(), "-f", "compose.yaml", *profiles, "config", "--quiet")
    assert done.stderr == ""
    assert done.returncode == 0


def test_files_that_it_mounts_are_there() -> None:
    text = (ROOT / "compose.yaml").read_text()
    mounted = re.findall(r"^ +- \./([^:]+):", text, re.MULTILINE)
    assert len(mounted) == 4
    assert [path for path in mounted if not (ROOT / path).is_file()] == []


def test_what_it_builds_with_is_what_the_image_takes() -> None:
    taken = dict(
        re.findall(r"^ARG (\w+)=(.*)$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    )
    text = (ROOT / "compose.yaml").read_text()
    given = dict(re.findall(r"^ {8}(\w+): \$\{\1:?-(.*)\}$", text, re.MULTILINE))
    assert taken == given


def test_the_dashboard_is_for_the_data_source_that_is_set_up() -> None:
    dashboard = json.loads((ROOT / "docs" / "grafana.json").read_text())
    (source,) = dashboard["templating"]["list"]
    set_up = (ROOT / "deploy" / "grafana" / "datasources.yaml").read_text()
    assert f"type: {source['query']}" in set_up
