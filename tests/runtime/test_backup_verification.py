"""What is compared of a backup: what was lost or changed is found, rounding is no difference."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.database.tables import VectorIndex
from app.errors import BackupFailed
from app.index.exact_search import exact_answers, product_rounding, read_vectors
from app.runtime.backup.verification import NEIGHBOURS, SEARCHES, compare, differ
from app.runtime.services import Services
from tests.fixtures.generated_vectors import clip_like, copy_vectors, insert_images

COUNT = 301
ROUNDING = product_rounding(512)
NOISE = 4e-7  # as seen between two kernels


@pytest.fixture(scope="module")
def index(services: Services) -> VectorIndex:
    index = services.search.index
    with services.search.sessions.begin() as session:
        insert_images(session, index.collection_id, ["{}"] * COUNT)
        copy_vectors(session, index, clip_like(COUNT, index.dimensions, seed=1))
    return index


@pytest.fixture
def session(services: Services, index: VectorIndex) -> Iterator[Session]:
    with services.search.sessions() as session:
        yield session


@pytest.fixture
def restored(services: Services, index: VectorIndex) -> Iterator[Session]:
    """Sees changes of its own, which end with the test."""
    with services.search.sessions() as session:
        yield session


def move_rows(session: Session, index: VectorIndex) -> None:
    """Write all rows anew, the last first, which is the order in which a scan then reads them."""
    session.execute(text("SET LOCAL enable_indexscan = off"))
    session.execute(text("SET LOCAL enable_bitmapscan = off"))
    ids = "SELECT max(image_id) FROM embeddings WHERE index_id = :index"
    newest = session.execute(text(ids), {"index": index.id}).scalar_one()
    write = text("UPDATE embeddings SET box = box WHERE index_id = :index AND image_id = :image")
    for image_id in range(newest, newest - COUNT, -1):
        session.execute(write, {"index": index.id, "image": image_id})


def test_rows_in_another_order_are_no_difference(
    session: Session, restored: Session, index: VectorIndex
) -> None:
    move_rows(restored, index)
    orders = [
        np.hstack([ids for ids, _ in read_vectors(one, index)]) for one in (session, restored)
    ]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0].tolist() != orders[1].tolist()
    compare(session, restored)


def test_a_changed_vector_is_found(session: Session, restored: Session, index: VectorIndex) -> None:
    swap = (
        "UPDATE embeddings SET embedding = (SELECT embedding FROM embeddings WHERE index_id = "
        ":index ORDER BY image_id DESC LIMIT 1) WHERE index_id = :index AND image_id = "
        "(SELECT min(image_id) FROM embeddings WHERE index_id = :index)"
    )
    restored.execute(text(swap), {"index": index.id})
    with pytest.raises(BackupFailed, match=f"of {SEARCHES} searches are answered differently"):
        compare(session, restored)


def test_a_picture_in_place_of_another_is_found(
    session: Session, restored: Session, index: VectorIndex
) -> None:
    """The numbers of rows are the same."""
    swap = "UPDATE images SET removed_at = now() WHERE id = (SELECT min(id) FROM images)"
    restored.execute(text(swap))
    with pytest.raises(BackupFailed, match="answered differently"):
        compare(session, restored)


def test_a_missing_picture_is_found(
    session: Session, restored: Session, index: VectorIndex
) -> None:
    restored.execute(text("DELETE FROM images WHERE id = (SELECT min(id) FROM images)"))
    with pytest.raises(BackupFailed, match=f"Table images: {COUNT} rows, restored {COUNT - 1}"):
        compare(session, restored)


@pytest.mark.parametrize(
    ("theirs", "found"),
    [
        ({1: 0.1, 2: 0.2, 3: 0.3}, False),
        ({1: 0.1 + NOISE, 2: 0.2 - NOISE, 3: 0.3 + NOISE}, False),
        ({1: 0.1, 2: 0.2, 4: 0.3 - NOISE}, False),  # both tie for the last place
        ({1: 0.1, 2: 0.2}, True),
        ({1: 0.1, 2: 0.2, 3: 0.3 + 3 * ROUNDING}, True),
        ({1: 0.2, 2: 0.1, 3: 0.3}, True),  # the same distances of others
        ({1: 0.1, 4: 0.2, 3: 0.3}, True),
    ],
)
def test_answers_differ_by_more_than_rounding(theirs: dict[int, float], found: bool) -> None:
    ours = {1: 0.1, 2: 0.2, 3: 0.3}
    assert differ(ours, theirs, ROUNDING) == differ(theirs, ours, ROUNDING) == found
    assert not differ({}, {}, ROUNDING)


def test_exact_answers_name_the_nearest(session: Session, index: VectorIndex) -> None:
    pieces = list(read_vectors(session, index))
    ids, vectors = (np.concatenate(one) for one in zip(*pieces, strict=True))
    distances = 1 - vectors.astype(np.float64) @ vectors.astype(np.float64).T
    for row, found in zip(
        distances, exact_answers(session, index, vectors, NEIGHBOURS), strict=True
    ):
        nearest = np.argsort(row)[:NEIGHBOURS]
        wanted = dict(zip(ids[nearest].tolist(), row[nearest].tolist(), strict=True))
        assert found == pytest.approx(wanted, abs=product_rounding(index.dimensions))
