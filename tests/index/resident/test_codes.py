"""Codes find nearly all that is near, whatever the vectors look like."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.index.resident.codes import Codes, code_bytes
from tests.fixtures.generated_vectors import burst_vectors, clip_like, texts_like

COUNT = 9_000  # more than one block
DIMENSIONS = 128


@pytest.mark.parametrize("kind", ["clip", "burst"])
@pytest.mark.parametrize("asked", ["pictures", "texts"])
def test_candidates_hold_the_nearest(kind: str, asked: str) -> None:
    vectors = (
        clip_like(COUNT, DIMENSIONS, 1)
        if kind == "clip"
        else burst_vectors(200, COUNT - 200, DIMENSIONS)
    )
    codes = Codes(vectors.mean(axis=0))
    codes.add(np.arange(0, COUNT // 2), vectors[: COUNT // 2])
    codes.add(np.arange(COUNT // 2, COUNT), vectors[COUNT // 2 :])
    queries = vectors[:50] if asked == "pictures" else texts_like(vectors[:50])
    nearest = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    found = [
        len(set(ids) & set(codes.nearest(query, 50).tolist()))
        for query, ids in zip(queries, nearest.tolist(), strict=True)
    ]
    assert np.mean(found) >= 9.95, found
    assert min(found) >= 9, found


def test_an_id_that_has_several_codes_is_proposed_once() -> None:
    vectors = clip_like(700, DIMENSIONS, 1)
    codes = Codes(vectors.mean(axis=0))
    codes.add(np.arange(700), vectors)
    codes.add(np.array([7, 7]), vectors[[7, 7]])
    found = codes.nearest(vectors[7], 10).tolist()
    assert 7 in found
    assert len(found) == len(set(found)) == 8
    assert sorted(codes.nearest(vectors[7], 5_000).tolist()) == list(range(700))


def test_what_codes_take() -> None:
    assert code_bytes(512, 1_000_000) == 524_000_000


def test_several_threads_search_while_codes_are_added() -> None:
    vectors = clip_like(COUNT, DIMENSIONS, 1)
    codes, first = (Codes(vectors.mean(axis=0)) for _ in range(2))
    for one in (codes, first):
        one.add(np.arange(8_000), vectors[:8_000])
    frozen = codes.frozen()
    with ThreadPoolExecutor(4) as searches:
        found = searches.map(lambda query: frozen.nearest(query, 50), vectors[:200])
        codes.add(np.arange(8_000, COUNT), vectors[8_000:])
        for ids, query in zip(found, vectors, strict=False):
            assert ids.tolist() == first.nearest(query, 50).tolist()
    assert (len(frozen), len(codes)) == (8_000, COUNT)
