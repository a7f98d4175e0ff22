"""`make load-test` on a real server, by locust in its own environment."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import ROOT
from tests.browser.serving import PICTURES, Service, index, serving
from tests.fixtures.process_environment import PROCESS_SECONDS, bare

PYTHON = ROOT / "benchmarks" / "load_test" / ".venv" / "bin" / "python"
KINDS = ("new text", "frequent text", "similar", "hybrid with facets", "thumbnail", "upload")


@pytest.fixture(scope="module")
def service(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("load")
    with serving(server_url, "load_test", folder) as opened:
        index(opened.services, PICTURES)
        yield opened


def load_test(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), "-m", "benchmarks.load_test", "--url", url, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=bare(), capture_output=True, text=True, timeout=PROCESS_SECONDS
    )


def collections(service: Service) -> list[str]:
    return [each["name"] for each in service.ask("GET", "/api/v1/collections")["data"]]


def test_each_number_of_clients_has_a_line_and_nothing_fails_or_stays(service: Service) -> None:
    before = service.ask("GET", "/api/v1/images", params={"limit": 1})["data"]
    done = load_test(service.url, "--clients", "2", "8", "--seconds", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    steps = {row[0].strip("| "): row for row in rows if row[0].strip("| ").isdecimal()}
    assert list(steps) == ["2", "8"]
    assert all(float(row[1]) > 0 and row[5:] == ["0", "0 |"] for row in steps.values())
    assert set(KINDS) <= {row[0].strip("| ") for row in rows}
    assert collections(service) == ["default"]
    assert service.ask("GET", "/api/v1/images", params={"limit": 1})["data"] == before


def test_a_collection_of_its_name_is_not_touched(service: Service) -> None:
    service.ask("POST", "/api/v1/collections", json={"name": "load-test"})
    done = load_test(service.url, "--clients", "1", "--seconds", "1")
    assert done.returncode == 1
    assert "load-test" in done.stderr
    assert "Traceback" not in done.stderr
    assert collections(service) == ["default", "load-test"]


def test_a_server_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    done = load_test("http://127.0.0.1:1", "--clients", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "No server answers at http://127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
