"""Near-duplicates stay in the graph of vectors in half precision (issue 21, line 2)."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.database import connections, migrating
from app.database.tables import VectorIndex
from app.index import embeddings, generations, vector_indexes
from app.index.graph_health import count_unreachable, find_lost, sample_novel
from app.index.hnsw_search import find_nearest
from app.vectors import Vectors, VectorSpace
from tests.fixtures.generated_vectors import insert_images, scene, unlike

pytestmark = pytest.mark.usefixtures("search_by_graph")

DIMENSIONS = 128
OTHERS = 200  # unlike each other
SERIES, EACH = 3, 250  # series of pictures that hardly differ
COSINE = 0.99995  # between those of one series
ASKED = 40


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    rng = np.random.default_rng(1)
    series = [scene(EACH, COSINE, DIMENSIONS, rng) for _ in range(SERIES)]
    return np.vstack([unlike(OTHERS, DIMENSIONS, rng), *series])


@pytest.fixture(scope="module")
def sessions(database_url: str, vectors: Vectors) -> Iterator[connections.Sessions]:
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    sessions = connections.open_sessions(engine)
    with sessions.begin() as session:
        insert_images(session, collections.default(session).id, ["{}"] * len(vectors))
    yield sessions
    engine.dispose()


def indexed(session: Session, vectors: Vectors) -> VectorIndex:
    """The vectors, written as those of new pictures are, and their graph."""
    collection_id = collections.default(session).id
    generations.drop_all(session, collection_id)
    space = VectorSpace("generated", "near-duplicates", "0" * 64, DIMENSIONS)
    made = vector_indexes.create_index(session, collection_id, space)
    embeddings.put_vectors(session, made, list(range(1, len(vectors) + 1)), vectors)
    vector_indexes.build_hnsw(session, made)
    return made


def test_each_is_found_by_its_own_vector(sessions: connections.Sessions, vectors: Vectors) -> None:
    asked = np.random.default_rng(2).permutation(np.arange(OTHERS, len(vectors)))[:ASKED] + 1
    with sessions.begin() as session:
        index = indexed(session, vectors)
        assert count_unreachable(session, index) == 0
        lost = [
            image_id
            for image_id in asked.tolist()
            if all(
                hit.image.id != image_id
                for hit in find_nearest(session, index, vectors[image_id - 1], 20)
            )
        ]
        assert lost == []


HIDDEN = """
UPDATE images SET removed_at = CASE WHEN id % 2 = 0 THEN now() ELSE 'infinity' END WHERE id <= :most
"""


def test_what_is_deleted_or_held_is_neither_lost_nor_unreachable(
    sessions: connections.Sessions, vectors: Vectors
) -> None:
    """Both still have vectors, which searches pass over."""
    with sessions.begin() as session:
        index = indexed(session, vectors)
        session.execute(text(HIDDEN), {"most": OTHERS})
        sample = sample_novel(session, index, ASKED)
        assert len(sample) == ASKED
        assert min(sample) > OTHERS
        assert find_lost(session, index, sample) == []
        assert count_unreachable(session, index) == 0
        session.rollback()


def test_plain_rounding_would_lose_them(
    sessions: connections.Sessions, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "unit_halves", lambda rows: rows.astype(np.float16))
    with sessions.begin() as session:
        unreachable = count_unreachable(session, indexed(session, vectors))
        assert unreachable is not None
        assert unreachable > 100
