"""Rows of standing searches in large collections (issue 20)."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.catalog.standing import match_rows, new_image_rows, standing_search_rows
from app.catalog.standing.match_rows import NewMatch
from app.database import connections, migrating
from app.database.connections import Sessions
from app.database.tables import VectorIndex
from scripts.benchmark_standing import add_pictures, load, make_searches
from scripts.generated_vectors import clip_like

PICTURES = 3_000  # so many that the planner would rather read all of them
SEARCHES = 70
NEW = 256
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'images'"
PARAMETERS = 65_535  # that a statement may have


@pytest.fixture(scope="module")
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = connections.open_engine(database_url)
    migrating.migrate(engine)
    yield connections.open_sessions(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def index(sessions: Sessions) -> VectorIndex:
    _, index = load(sessions, clip_like(PICTURES, 8, 1))
    make_searches(sessions, index, clip_like(SEARCHES, 8, 2))
    return index


def noted(session: Session, index: VectorIndex, count: int) -> list[int]:
    ids = add_pictures(session, index, clip_like(count, 8, 3))
    new_image_rows.note(session, ids)
    return ids


def taken(session: Session, index: VectorIndex, limit: int) -> list[int]:
    found = new_image_rows.take(session, index, limit)
    return [] if found is None else list(found.vectors)


def read_images(session: Session) -> int:
    read: int = session.execute(text(READ)).scalar_one()
    return read


def test_a_new_picture_is_found_and_taken_without_reading_the_others(
    sessions: Sessions, index: VectorIndex
) -> None:
    with sessions.begin() as session:
        ids = noted(session, index, 3)
    with sessions.begin() as session:
        before = read_images(session)
        assert new_image_rows.waiting_collections(session) == [index.collection_id]
        assert taken(session, index, 2) == ids[:2]
        assert read_images(session) - before < 20
    with sessions.begin() as session:
        assert taken(session, index, 2) == ids[2:]
        assert taken(session, index, 2) == []
        assert new_image_rows.waiting_collections(session) == []


def test_what_somebody_else_works_on_and_what_has_no_vector_is_left(
    sessions: Sessions, index: VectorIndex
) -> None:
    with sessions.begin() as session:
        first, locked, last = noted(session, index, 3)
    other = replace(index, id=index.id + 1)
    with sessions.begin() as deleting, sessions.begin() as session:
        deleting.execute(text("SELECT 1 FROM images WHERE id = :id FOR UPDATE"), {"id": locked})
        assert taken(session, other, NEW) == []
        assert taken(session, index, NEW) == [first, last]
    with sessions.begin() as session:
        assert taken(session, index, NEW) == [locked]


def test_one_worker_at_a_time_takes_pictures_of_a_collection(
    sessions: Sessions, index: VectorIndex
) -> None:
    with sessions.begin() as session:
        first, second = noted(session, index, 2)
    with sessions.begin() as one, sessions.begin() as another:
        assert taken(one, index, 1) == [first]
        assert taken(another, index, NEW) == []
    with sessions.begin() as session:
        assert taken(session, index, NEW) == [second]


def test_a_batch_that_all_searches_find_is_written_at_once(
    sessions: Sessions, index: VectorIndex
) -> None:
    """Each once, and none of a standing search that was deleted meanwhile."""
    with sessions.begin() as session:
        searches = standing_search_rows.encoded(session, index.collection_id, index.id)
        ids = [one.search.id for one in searches]
        pictures = add_pictures(session, index, np.ones((NEW, 8), np.float32))
        found = [NewMatch(one, picture, 0.5, 0.95, "msg_1") for one in ids for picture in pictures]
        assert 4 * len(found) > PARAMETERS
        standing_search_rows.remove(session, ids[0])
        kept = [one for one in found if one.search_id != ids[0]]
        assert match_rows.add(session, found) == kept
        told_again = [replace(one, message="msg_2") for one in found]
        assert match_rows.add(session, told_again) == []
        (newest, *_) = match_rows.newest(session, ids[1], None, 1)
        assert newest.report is not None
        assert (newest.image.id, newest.report.id) == (pictures[-1], "msg_1")
