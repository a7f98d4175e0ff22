"""A data folder for tests that start, kill and freeze a server of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.database.embedded.postgres_programs import temporary_folder
from app.database.embedded.postmaster import processes_in


@pytest.fixture(scope="module")
def folder_of_module() -> Iterator[Path]:
    with temporary_folder("own") as folder:
        yield folder / "data"


@pytest.fixture
def folder(folder_of_module: Path) -> Iterator[Path]:
    """A data folder; its server, if a test leaves one, is ended."""
    yield folder_of_module
    for process in processes_in(folder_of_module):
        process.kill()
