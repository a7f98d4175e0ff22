"""Processes that hold the codes of one library."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete, text, update

from app.database import connections
from app.database.connections import Sessions
from app.database.tables import VectorIndex, embeddings, images
from app.index import vector_indexes
from tests.fixtures.generated_vectors import copy_vectors, generated_index
from tests.fixtures.resident_processes import COUNT, VECTORS, Process, holding


@pytest.fixture
def processes(database_url: str) -> Iterator[list[Process]]:
    with ThreadPoolExecutor(1) as threads:
        engines = [connections.open_engine(database_url) for _ in range(3)]
        opened = [connections.open_sessions(engine) for engine in engines]
        yield [Process(one, holding(one, threads), threads) for one in opened]
        for engine in engines:
            engine.dispose()


@pytest.fixture(scope="module")
def library(database_url: str) -> Iterator[tuple[Sessions, VectorIndex]]:
    with generated_index(database_url, VECTORS) as opened:
        yield opened


@pytest.fixture
def index(library: tuple[Sessions, VectorIndex]) -> VectorIndex:
    """The index with the vectors of the first COUNT pictures, whatever a test did to it."""
    sessions, index = library
    with sessions.begin() as session:
        session.execute(text(f"DROP INDEX IF EXISTS {vector_indexes.hnsw_name(index)}"))
        session.execute(delete(embeddings))
        session.execute(update(images).values(removed_at=None))
        copy_vectors(session, index, VECTORS[:COUNT])
    return index
