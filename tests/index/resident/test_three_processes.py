"""Real processes that write at once, each of which answers by its codes as SQL alone does."""

import multiprocessing
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.catalog.filters.filters import parse
from app.database import connections
from app.database.tables import VectorIndex, embeddings, images
from app.index import vector_indexes
from app.index.embeddings import put_vectors
from app.index.hnsw_search import Condition
from app.index.paged_scans import IndexReader
from app.index.resident.resident_index import ResidentIndex
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.scan_plans import plan_scan
from tests.fixtures.generated_vectors import clip_like
from tests.fixtures.resident_processes import CODES, COUNT, DIMENSIONS, LATER, VECTORS, Process

PROCESSES = 3
STEPS = 30  # writes of each, and answers that it compares after each
HITS = 10
SECONDS = 60  # after which a process that says nothing has hung
SAME_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


def test_processes_that_write_at_once_answer_exactly(
    processes: list[Process], index: VectorIndex, database_url: str
) -> None:
    with processes[0].sessions.begin() as session:
        new = NewCollection("", f"other-{index.id}-at-once", "english", {})
        collection = collections.create(session, new)
        other = vector_indexes.create_index(session, collection.id, index.space)
    spawn = multiprocessing.get_context("spawn")
    ends, started = [], []
    for number in range(PROCESSES):
        mine, its = spawn.Pipe()
        arguments = (its, database_url, index, other, number)
        started.append(spawn.Process(target=write_and_compare, args=arguments))
        started[-1].start()
        ends.append(mine)
    try:
        told = [end.recv() if end.poll(SECONDS) else "it hung" for end in ends]
    finally:
        for process in started:
            process.kill()
            process.join()
    assert told == [{"compared": STEPS, "filtered": STEPS}] * PROCESSES


def write_and_compare(
    end: Connection, url: str, index: VectorIndex, other: VectorIndex, number: int
) -> None:
    """What one process does; tells how much it compared, or what went wrong."""
    try:
        end.send(_compared(url, index, other, number))
    except Exception:
        end.send(traceback.format_exc())
        raise


def _compared(url: str, index: VectorIndex, other: VectorIndex, number: int) -> dict[str, int]:
    sessions = connections.open_sessions(connections.open_engine(url))
    rng = np.random.default_rng(number)
    with ThreadPoolExecutor(1) as threads:
        indexes = ResidentIndexes(sessions, CODES, threads, threading.Event(), min_vectors=100)
        indexes.of(index)
    told = {"compared": 0, "filtered": 0}
    for step in range(STEPS):
        with sessions.begin() as session:
            _write(session, rng, step, number, index, other)
        resident = indexes.of(index)
        assert resident is not None
        vector = VECTORS[rng.integers(COUNT)] if step % 2 else clip_like(1, DIMENSIONS, step)[0]
        with sessions.begin() as session:
            session.execute(text(SAME_SNAPSHOT))
            _compare(session, resident, vector, None)
            told["compared"] += 1
            wide = {"width": {"lt": int(rng.integers(COUNT))}}
            _compare(session, resident, vector, parse(wide, {}).condition)
            told["filtered"] += 1
    return told


def _compare(session: Session, resident: ResidentIndex, vector: Any, condition: Condition) -> None:
    view = resident.view(session, condition)
    assert view is not None
    scan = plan_scan(session, resident.index, condition, HITS, view=view)
    reader = IndexReader(session, resident.index, vector, condition, view=view)
    near, _ = reader.window(scan, 0, HITS)
    assert near == _exact(session, resident.index, vector, condition)


def _exact(session: Session, index: VectorIndex, vector: Any, condition: Condition) -> Any:
    distance = index.column.cosine_distance(vector)
    query = (
        select(embeddings.c.image_id, distance)
        .join(images, images.c.id == embeddings.c.image_id)
        .where(embeddings.c.index_id == index.id, images.c.removed_at.is_(None))
        .order_by(distance + 0, embeddings.c.image_id)
    )
    query = query if condition is None else query.where(condition)
    return [tuple(row) for row in session.execute(query.limit(HITS))]


def _write(
    session: Session,
    rng: np.random.Generator,
    step: int,
    number: int,
    index: VectorIndex,
    other: VectorIndex,
) -> None:
    """Of the pictures that only this process writes: no two wait for each other."""
    own = np.arange(1, COUNT + LATER)[number::PROCESSES]
    some = [int(one) for one in rng.choice(own, 8, replace=False)]
    of_some = update(images).where(images.c.id.in_(some))
    vectors = embeddings.c.image_id.in_(some)
    match step % 6:
        case 0:  # uploads, and new content
            session.execute(of_some.values(collection_id=index.collection_id))
            session.execute(delete(embeddings).where(vectors))
            put_vectors(session, index, some, clip_like(8, DIMENSIONS, int(rng.integers(1 << 30))))
        case 1:  # deletions that can be undone
            session.execute(of_some.values(removed_at=text("now()")))
        case 2:  # deletions for good
            session.execute(delete(embeddings).where(vectors))
        case 3:  # undone
            session.execute(of_some.values(removed_at=None))
        case 4:  # moves to another collection
            session.execute(update(embeddings).where(vectors).values(index_id=other.id))
            session.execute(of_some.values(collection_id=other.collection_id))
        case 5:  # swaps: two pictures take each other's place, and other values
            session.execute(of_some.values(width=int(rng.integers(COUNT))))
            there = select(embeddings.c.image_id).where(vectors, embeddings.c.index_id == index.id)
            left = sorted(session.execute(there).scalars())
            if len(left) > 1:
                swapped = clip_like(2, DIMENSIONS, int(rng.integers(1 << 30)))
                put_vectors(session, index, left[:2], swapped)
                put_vectors(session, index, left[:2], swapped[::-1])
