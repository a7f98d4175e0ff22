"""Generated vectors with a spectrum like CLIP's, and a fast way to load them into a database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog import collections
from app.database.tables import VectorIndex
from app.index import vector_copy, vector_indexes
from app.vectors import Vectors, VectorSpace, unit_rows

RANK = 64  # directions that carry the meaning
NOISE = 0.3  # standard deviation in every direction, relative to those
GAP = 2.0  # between texts and pictures, whose own length is 1
SPREAD = 0.5  # the share of an unrelated query in a query near the centre
COPIED_AT_ONCE = 1_000  # vectors generated and copied at a time: more would be the peak of memory
EXACT_AT_ONCE = 10  # queries scored at once, to save memory: 4 MB for 100,000 vectors

Mask = NDArray[np.bool_]


def clip_like(count: int, dimensions: int, seed: int, noise: float = NOISE) -> Vectors:
    """`count` unit vectors, float32, shape (count, dimensions): low-rank Gaussian plus noise.

    Without noise neighbours are easier to find. The strong directions do not depend on the seed,
    so queries and gallery share them.
    """
    directions = np.random.default_rng(0).standard_normal((RANK, dimensions), np.float32)
    own = np.random.default_rng(seed)
    meaning = own.standard_normal((count, RANK), np.float32) @ directions / np.sqrt(RANK)
    return unit_rows(meaning + noise * own.standard_normal((count, dimensions), np.float32))


def texts_like(pictures: Vectors) -> Vectors:
    """Queries about the pictures, of the same shape, that lie apart from all: as CLIP's texts do.

    All are moved by one vector of the length GAP: their cosine to what they are about is 0.45.
    """
    way = np.random.default_rng(3).standard_normal(pictures.shape[1])
    return unit_rows(pictures + (GAP / np.linalg.norm(way) * way).astype(np.float32))


def unlike(count: int, dimensions: int, rng: np.random.Generator) -> Vectors:
    """`count` unit vectors in random directions, shape (count, dimensions): cosines near 0."""
    return unit_rows(rng.standard_normal((count, dimensions), np.float32))


def scene(count: int, cosine: float, dimensions: int, rng: np.random.Generator) -> Vectors:
    """`count` unit vectors, any two of them at about this cosine, shape (count, dimensions).

    A burst of one scene has a cosine of about 0.9, near-duplicates above 0.999.
    """
    centre, own = unlike(1, dimensions, rng), unlike(count, dimensions, rng)
    return unit_rows((np.sqrt(cosine) * centre + np.sqrt(1 - cosine) * own).astype(np.float32))


@dataclass(frozen=True)
class Gallery:
    """Pictures with ids from 1 on: their vectors, values to filter by, and which are not deleted.

    `n`, and `m`, which equals it, rank the pictures at random; `far` ranks them by their cosine to
    a centre, farthest first. All run from 0 to just below 1, so that `lt` passes that very share.
    """

    vectors: Vectors
    values: Mapping[str, NDArray[np.float64]]
    present: Mask

    def best(self, queries: Vectors, passing: Mask, limit: int) -> list[list[int]]:
        """The exact nearest pictures of each query, as ids."""
        ids = np.flatnonzero(passing & self.present)
        found = []
        for start in range(0, len(queries), EXACT_AT_ONCE):
            scores = queries[start : start + EXACT_AT_ONCE] @ self.vectors.T
            for row in scores[:, ids]:
                top = np.argpartition(-row, min(limit, len(ids)) - 1)[:limit]
                found.append((ids[top[np.argsort(-row[top])]] + 1).tolist())
        return found


def generate(
    count: int, dimensions: int, seed: int, centre: Vectors, noise: float = NOISE
) -> Gallery:
    """A gallery of vectors, with values by which a filter can pass any share of them."""
    vectors = clip_like(count, dimensions, seed, noise)
    ranks = np.empty((2, count))
    ranks[0] = np.random.default_rng(seed).permutation(count)
    ranks[1, np.argsort(vectors @ centre)] = np.arange(count)
    n, far = ranks / count
    return Gallery(vectors, {"n": n, "m": n, "far": far}, np.ones(count, bool))


def near_centre(queries: Vectors) -> Vectors:
    """Queries around the first query, which is the centre that `far` is measured from."""
    return unit_rows(queries[:1] + SPREAD * queries)


def insert_images(session: Session, collection_id: int, metadata: Sequence[str]) -> None:
    """Insert a picture without a file for each JSON text; in an empty database ids start at 1."""
    session.execute(
        text(
            "INSERT INTO images (collection_id, path, content_hash, etag, bytes, width, height, "
            "format, metadata) SELECT :collection, 'made/' || n, sha256(n::text::bytea), n::text, "
            "1, 1, 1, 'PNG', entry::jsonb "
            "FROM unnest(CAST(:metadata AS text[])) WITH ORDINALITY AS made (entry, n) "
            "ORDER BY made.n"
        ),
        {"collection": collection_id, "metadata": list(metadata)},
    )


def copy_vectors(session: Session, index: VectorIndex, vectors: Vectors, first: int = 1) -> None:
    """COPY `vectors`, shape (n, dimensions), as those of the pictures from the id `first` on."""
    ids = np.arange(first, first + len(vectors))
    vector_copy.copy_vectors(session, index, ids, vectors)


def filled_index(session: Session, count: int, dimensions: int, seed: int) -> VectorIndex:
    """An index of `count` pictures without files, with vectors like CLIP's, and without a graph."""
    space = VectorSpace("generated", "clip-like", "0" * 64, dimensions)
    collection_id = collections.default(session).id
    insert_images(session, collection_id, ["{}"] * count)
    index = vector_indexes.open_index(session, collection_id, space)
    for start in range(0, count, COPIED_AT_ONCE):
        some = clip_like(min(COPIED_AT_ONCE, count - start), dimensions, seed + start)
        copy_vectors(session, index, some, start + 1)
    return index
