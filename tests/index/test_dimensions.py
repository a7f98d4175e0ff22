"""Indexes of few and of many dimensions, in each storage (issue 18, line 32)."""

from typing import get_args

import numpy as np
import pytest
from sqlalchemy import select

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.database.connections import Sessions
from app.database.tables import Storage, images
from app.errors import CollectionRejected
from app.index import vector_indexes
from app.index.embeddings import get_vectors, put_vectors
from app.index.hnsw_search import find_nearest
from app.index.search_method import is_searched_exactly
from app.index.vector_indexes import MAX_DIMENSIONS, Shape
from app.vectors import VectorSpace
from tests.fixtures.generated_vectors import insert_images, unlike

COUNT = 12  # pictures


@pytest.mark.parametrize("storage", get_args(Storage))
@pytest.mark.parametrize("dimensions", [256, 1_536, 0])
def test_vectors_are_kept_and_found(
    sessions: Sessions, storage: Storage, dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly and by the graph; 0 stands for the most that a storage takes."""
    size = dimensions or MAX_DIMENSIONS[storage]
    vectors = unlike(COUNT, size, np.random.default_rng(1))
    space = VectorSpace("generated", "vectors", f"{size:064}", size)
    with sessions() as session:
        collection = collections.create(session, NewCollection("default", f"{storage}-{size}"))
        index = vector_indexes.create_index(session, collection.id, space, Shape(storage))
        insert_images(session, collection.id, ["{}"] * COUNT)
        here = images.c.collection_id == collection.id
        ids = list(session.execute(select(images.c.id).where(here)).scalars())
        put_vectors(session, index, ids, vectors)
        vector_indexes.build_hnsw(session, index)
        kept = get_vectors(session, index, ids)
        assert min(float(kept[one] @ row) for one, row in zip(ids, vectors, strict=True)) > 0.9999
        for exact_rows in (vector_indexes.EXACT_ROWS, -1):
            monkeypatch.setattr(vector_indexes, "EXACT_ROWS", exact_rows)
            assert is_searched_exactly(session, index) == (exact_rows > 0)
            for one, row in zip(ids, vectors, strict=True):
                hits = find_nearest(session, index, row, COUNT)
                assert (hits[0].image.id, len(hits)) == (one, COUNT)


@pytest.mark.parametrize("storage", get_args(Storage))
def test_more_dimensions_than_a_graph_takes_are_refused(
    sessions: Sessions, storage: Storage
) -> None:
    most = MAX_DIMENSIONS[storage]
    space = VectorSpace("generated", "vectors", "0" * 64, most + 1)
    with sessions() as session:
        collection = collections.create(session, NewCollection("default", "too-many"))
        with pytest.raises(CollectionRejected, match=f"{most + 1} dimensions; {storage} takes"):
            vector_indexes.create_index(session, collection.id, space, Shape(storage))
