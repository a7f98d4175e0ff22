"""The wheel, installed as a tool and run from an empty folder (issue 20)."""

import asyncio
import json
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from app import VERSION
from app.database.embedded.postgres_programs import temporary_folder
from app.settings import ROOT
from tests.conftest import TEST_IMAGES
from tests.fixtures.drawn_pictures import png
from tests.fixtures.process_environment import PROCESS_SECONDS, bare
from tests.test_start import free_port

NAME = "picture-search"
FEW = ("green-tree.jpg", "cat.jpg", "bus.webp")  # of the bundled pictures, to be quick
OWN_PACKAGES = ("app", "scripts", "migrations", "tests", "benchmarks")


class Tool:
    """The installed command, with a folder to run in and one for its data."""

    def __init__(self, folder: Path, scripts: Path) -> None:
        self.python = str(scripts / "python")
        self.command = str(scripts / NAME)
        self.empty = folder / "empty"
        self.data = folder / "data"
        self.port = free_port()
        self.empty.mkdir()
        environment = {"XDG_DATA_HOME": str(self.data), "TESTING": "1", "API_PORT": str(self.port)}
        self.environment = bare(**environment)
        del self.environment["ENV_FILE"]  # it is looked for, as a user's is

    def run(self, *arguments: str, status: int = 0, errors: bool = True) -> str:
        """What the command prints, on standard error too if `errors`."""
        done = subprocess.run(
            [self.command, *arguments], cwd=self.empty, env=self.environment,
            capture_output=True, text=True, timeout=PROCESS_SECONDS,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr * errors


@pytest.fixture(scope="module")
def tool() -> Iterator[Tool]:
    """An environment of its own; of the clone's it sees the dependencies, not the clone."""
    with temporary_folder("whl") as folder:
        dist = folder / "dist"
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
        subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        environment = str(folder / "environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        places = {"base": environment, "platbase": environment}
        packages = Path(sysconfig.get_path("purelib", vars=places))
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        scripts = Path(sysconfig.get_path("scripts", vars=places))
        (wheel,) = dist.glob("*.whl")
        uv = str(Path(sys.executable).with_name("uv"))
        install = [uv, "pip", "install", "--quiet", "--offline", "--no-deps"]
        target = ["--python", str(scripts / "python"), str(wheel)]
        subprocess.run([*install, *target], check=True)
        bundled = packages / "picture_search" / "data" / "test_images"
        assert {one.name for one in bundled.iterdir()} == {
            one.name for one in TEST_IMAGES.iterdir()
        }
        for one in bundled.iterdir():
            if one.name not in FEW:
                one.unlink()
        yield Tool(folder, scripts)


@pytest.mark.parametrize("name", OWN_PACKAGES)
def test_other_programs_cannot_import_its_packages(tool: Tool, name: str) -> None:
    look = f"import picture_search, importlib.util; print(importlib.util.find_spec({name!r}))"
    command = [tool.python, "-c", look]
    shown = subprocess.run(command, cwd=tool.empty, capture_output=True, text=True, check=True)
    assert shown.stdout == "None\n"


def test_cheap_commands_from_an_empty_folder(tool: Tool) -> None:
    assert json.loads(tool.run("openapi"))["info"]["version"] == VERSION
    assert "The database's schema is up to date.\n" in tool.run("migrate")


def test_the_shell_completes_commands(tool: Tool) -> None:
    asked = {"_PICTURE_SEARCH_COMPLETE": "complete_bash", "COMP_CWORD": "1"}
    tool.environment |= {**asked, "COMP_WORDS": f"{NAME} mo"}
    try:
        assert tool.run().split() == ["models"]
    finally:
        for name in (*asked, "COMP_WORDS"):
            del tool.environment[name]


def test_from_an_empty_folder_it_serves_the_demo_and_keeps_its_data_where_programs_do(
    tool: Tool, tmp_path: Path
) -> None:
    with serving(tool):
        hits = search(tool)
        assert asyncio.run(found_by_an_agent(tool)) == hits[0]["id"]
        shown = tool.run("similar", str(hits[0]["id"]), "--limit", "1")
        assert len(shown.splitlines()) == 1
        assert "green-tree.jpg" not in shown
        (tmp_path / "drawn.png").write_bytes(png(1))
        (tmp_path / "text.png").write_text("no picture")
        files = [str(tmp_path / name) for name in ("drawn.png", "text.png")]
        told = tool.run("upload", *files, status=1).splitlines()
        assert [line.split()[0] for line in told] == ["stored", "refused"]
    assert [path.name for path in tool.data.iterdir()] == [NAME]
    assert (tool.data / NAME / "data" / "postgres").is_dir()
    assert search(tool) == hits  # in its own process now
    assert not list(tool.empty.iterdir())


async def found_by_an_agent(tool: Tool) -> int:
    """The id of the first hit for the same words, by MCP."""
    started = StdioServerParameters(
        command=tool.command, args=["mcp"], env=tool.environment, cwd=str(tool.empty)
    )
    async with Client(started, read_timeout_seconds=PROCESS_SECONDS) as client:
        found = await client.call_tool("search", {"words": "a green tree", "limit": 1})
    assert found.structured_content
    first: int = found.structured_content["hits"][0]["id"]
    return first


def search(tool: Tool) -> list[dict[str, Any]]:
    """The hits for words, which differ between answers in nothing."""
    shown = tool.run("search", "a green tree", "--limit", "1", "--json", errors=False)
    hits: list[dict[str, Any]] = json.loads(shown)["hits"]
    assert hits[0]["path"].endswith("/data/test_images/green-tree.jpg")
    return hits


@contextmanager
def serving(tool: Tool) -> Iterator[None]:
    server = subprocess.Popen(
        [tool.command, "serve"], cwd=tool.empty, env=tool.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    hang = threading.Timer(PROCESS_SECONDS, server.kill)
    hang.start()
    try:
        assert server.stdout is not None
        lines = list(until_ready(server.stdout))
        assert lines[-1].startswith("Ready:"), lines
        yield
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=PROCESS_SECONDS)
        hang.cancel()
    assert server.returncode == 0


def until_ready(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if line.startswith("Ready:"):
            return
