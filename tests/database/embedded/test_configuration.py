"""The settings that the embedded server is started with."""

import pytest

from app.database.embedded.configuration import settings


@pytest.mark.parametrize(
    ("megabytes", "workers"), [(None, 2), (64, 0), (0, 0), (575, 0), (576, 2), (32_000, 2)]
)
def test_shared_memory_decides_how_graphs_are_built(megabytes: int | None, workers: int) -> None:
    """Issue 21, line 8."""
    written = settings(None if megabytes is None else megabytes * 2**20)
    assert f"max_parallel_maintenance_workers = {workers}\n" in written
