"""What tests of several modules search: an index whose graph loses pictures."""

from collections.abc import Iterator

import pytest

from app.database.connections import Sessions
from app.database.tables import VectorIndex
from app.vectors import Vectors
from tests.fixtures.generated_vectors import burst_vectors, generated_index

DIMENSIONS = 128
BEFORE = 100  # unlike pictures that were stored before the burst
BURST = 1_900  # pictures of one scene


@pytest.fixture(scope="module")
def burst() -> Vectors:
    """Vectors of pictures 1 to BEFORE + BURST."""
    return burst_vectors(BEFORE, BURST, DIMENSIONS)


@pytest.fixture(scope="module")
def burst_index(database_url: str, burst: Vectors) -> Iterator[tuple[Sessions, VectorIndex]]:
    """Its graph was built in the order in which the pictures came."""
    with generated_index(database_url, burst) as opened:
        yield opened
