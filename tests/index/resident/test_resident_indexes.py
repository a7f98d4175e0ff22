"""What a process holds in memory follows what any process commits."""

import threading
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.database.tables import VectorIndex, embeddings, images
from app.index import graph_rebuild, vector_indexes
from app.index.embeddings import put_pages, put_vectors
from app.index.exact_search import exact_neighbours
from app.index.paged_scans import IndexReader
from app.index.resident import resident_index
from app.index.resident.changes import CHANGED
from app.index.resident.resident_indexes import ResidentIndexes
from app.index.scan_plans import plan_scan
from app.vectors import unit_rows
from tests.fixtures.generated_vectors import clip_like, copy_vectors
from tests.fixtures.resident_processes import (
    CODES,
    COUNT,
    DIMENSIONS,
    LATER,
    VECTORS,
    Process,
    exact,
    holding,
)
from tests.fixtures.round_trips import REQUESTS, Traffic, traced


def write(process: Process, step: int, index: VectorIndex, other: VectorIndex) -> None:
    """Something that changes what is nearest."""
    rng = np.random.default_rng(step)
    fresh = clip_like(3, DIMENSIONS, 100 + step)
    known = [int(one) for one in rng.choice(COUNT, 3, replace=False) + 1]
    new = list(range(COUNT + 3 * step + 1, COUNT + 3 * step + 4))
    with process.sessions.begin() as session:
        match step % 5:
            case 0:  # new pictures
                put_vectors(session, index, new, fresh)
            case 1:  # new content
                put_vectors(session, index, known, fresh)
            case 2:  # deleted pictures
                session.execute(delete(embeddings).where(embeddings.c.image_id.in_(known)))
            case 3:  # stored in another collection, and moved there
                put_vectors(session, other, new, fresh)
                away = update(embeddings).where(embeddings.c.image_id.in_(known))
                session.execute(away.values(index_id=other.id))
            case 4:  # moved here; hidden pictures, and pages of one
                here = update(embeddings).where(embeddings.c.index_id == other.id)
                session.execute(here.values(index_id=index.id))
                gone = update(images).where(images.c.id == known[0])
                session.execute(gone.values(removed_at=text("now()")))
                put_pages(session, index, {known[1]: {2: fresh[0], 3: fresh[1]}})


def test_three_processes_see_what_any_of_them_commits(
    processes: list[Process], index: VectorIndex
) -> None:
    with processes[0].sessions.begin() as session:
        new = NewCollection("", f"other-{index.id}", "english", {})
        collection = collections.create(session, new)
        other = vector_indexes.create_index(session, collection.id, index.space)
    for process in processes:
        assert process.loaded(index) is not None
    rng = np.random.default_rng(2)
    for step in range(30):
        write(processes[step % 3], step, index, other)
        written = clip_like(1, DIMENSIONS, 100 + step - (step % 5 == 4))  # what was moved last
        noise = rng.standard_normal((1, DIMENSIONS), np.float32)
        query = unit_rows(written + 0.02 * noise)[0]
        answers = [process.nearest(index, query) for process in processes]
        assert answers == [exact(index, processes[0], query)] * 3, step


def test_what_is_written_first_and_committed_last_is_seen(
    processes: list[Process], index: VectorIndex
) -> None:
    slow, quick, reader = processes
    fresh = clip_like(2, DIMENSIONS, 9)
    assert reader.loaded(index) is not None
    with slow.sessions.begin() as writing:
        put_vectors(writing, index, [COUNT + 1], fresh[:1])
        with quick.sessions.begin() as session:
            put_vectors(session, index, [COUNT + 2], fresh[1:])
        assert COUNT + 2 in reader.nearest(index, fresh[1])
        assert COUNT + 1 not in reader.nearest(index, fresh[0])
    assert COUNT + 1 in reader.nearest(index, fresh[0])
    resident = reader.loaded(index)
    assert resident is not None
    assert len(resident) == COUNT + 2  # each was read once


def test_after_many_changes_all_codes_are_read_again(
    processes: list[Process], index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident_index, "MOST_CHANGES", 100)
    reader = processes[0]
    before = reader.loaded(index)
    assert before is not None
    with reader.sessions.begin() as session:
        copy_vectors(session, index, VECTORS[COUNT:], first=COUNT + 1)
    with reader.sessions.begin() as session:
        assert before.view(session) is None
    assert reader.nearest(index, VECTORS[-1])[0] == len(VECTORS)
    assert reader.loaded(index) is not before


def test_codes_of_deleted_pictures_are_given_up(
    processes: list[Process], index: VectorIndex
) -> None:
    reader = processes[0]
    before = reader.loaded(index)
    for _ in range(3):
        with reader.sessions.begin() as session:
            session.execute(delete(embeddings).where(embeddings.c.image_id <= LATER))
            copy_vectors(session, index, VECTORS[:LATER])
        reader.nearest(index, VECTORS[0])
    after = reader.loaded(index)
    assert after is not before
    assert after is not None
    assert len(after) == COUNT


def test_most_pictures_near_the_query_are_deleted(
    processes: list[Process], index: VectorIndex
) -> None:
    reader = processes[0]
    assert reader.loaded(index) is not None
    near = exact(index, reader, VECTORS[0], 950)
    with reader.sessions.begin() as session:
        session.execute(delete(embeddings).where(embeddings.c.image_id.in_(near)))
    assert reader.nearest(index, VECTORS[0], 20) == exact(index, reader, VECTORS[0], 20)


def test_a_picture_that_is_restored_is_found_again(
    processes: list[Process], index: VectorIndex
) -> None:
    """Its vector was there all the time: no change of `embeddings` tells of it."""
    reader = processes[0]
    hide = update(images).where(images.c.id == 1)
    with reader.sessions.begin() as session:
        session.execute(hide.values(removed_at=text("now() + interval '10 min'")))
    assert reader.nearest(index, VECTORS[0]) == exact(index, reader, VECTORS[0])
    with reader.sessions.begin() as session:
        found = exact_neighbours(session, index, VECTORS[:1], np.zeros(1, np.int64), 1)
        assert found.farthest[0] > 0.01  # nor does the exact answer have it
        session.execute(hide.values(removed_at=None))
    assert reader.nearest(index, VECTORS[0])[0] == 1


def test_a_graph_built_meanwhile_loses_no_change(
    processes: list[Process], index: VectorIndex
) -> None:
    writer, reader = processes[:2]
    assert reader.loaded(index) is not None
    fresh = clip_like(1, DIMENSIONS, 11)
    with writer.sessions.begin() as session:
        put_vectors(session, index, [COUNT + 1], fresh)
    assert graph_rebuild.rebuild(writer.sessions, index)
    assert reader.nearest(index, fresh[0])[0] == COUNT + 1


def test_small_and_large_indexes_are_not_held(
    processes: list[Process], index: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions, threads = processes[0].sessions, processes[0].threads
    for none in (holding(sessions, threads, codes=0), holding(sessions, threads, codes=10_000)):
        assert Process(sessions, none, threads).loaded(index) is None
    few = ResidentIndexes(sessions, CODES, threads, threading.Event(), min_vectors=COUNT + 1)
    assert Process(sessions, few, threads).loaded(index) is None


def test_pages_by_codes_have_each_picture_once(
    processes: list[Process], index: VectorIndex
) -> None:
    process = processes[0]
    resident = process.loaded(index)
    assert resident is not None
    with process.sessions.begin() as session:
        view = resident.view(session)
        scan = plan_scan(session, index, None, 70, view=view)
        assert scan.method == "resident"
        found: list[int] = []
        while len(found) < COUNT:
            reader = IndexReader(session, index, VECTORS[3], None, without=5, view=view)
            near, scan = reader.window(scan, len(found), len(found) + 70)
            if not near:
                break
            found += [image_id for image_id, _ in near]
    assert found[:10] == [one for one in exact(index, process, VECTORS[3], 11) if one != 5][:10]
    assert sorted(found) == [one for one in range(1, COUNT + 1) if one != 5]


def test_another_process_without_codes_continues_the_pages(
    processes: list[Process], index: VectorIndex
) -> None:
    process = processes[0]
    resident = process.loaded(index)
    assert resident is not None
    with process.sessions.begin() as session:
        view = resident.view(session)
        scan = plan_scan(session, index, None, 10, view=view)
        first, scan = IndexReader(session, index, VECTORS[3], None, None, view).window(scan, 0, 10)
        then, _ = IndexReader(session, index, VECTORS[3], None).window(scan, 10, 20)
    assert [one for one, _ in first + then] == exact(index, process, VECTORS[3], 20)


def test_vectors_of_a_restored_database_are_not_new_for_ever(
    processes: list[Process], index: VectorIndex
) -> None:
    """They name transactions of another server, far above this one's."""
    reader = processes[0]
    with reader.sessions.begin() as session:
        session.execute(text("UPDATE embeddings SET changed = '9000000000'::xid8"))
    resident = reader.loaded(index)
    assert resident is not None
    reader.nearest(index, VECTORS[0])
    assert len(resident) == COUNT


def test_changes_are_found_by_an_index(processes: list[Process], index: VectorIndex) -> None:
    with processes[0].sessions.begin() as session:
        session.execute(text("ANALYZE embeddings"))
        since = snapshot(session)
        plan = session.execute(
            text("EXPLAIN " + CHANGED.format(send="halfvec_send", column="embedding")),
            {"index_id": index.id, "since": since, "oldest": since.split(":")[0], "most": 2_000},
        ).scalars()
        assert f"{index.partition}_changed_idx" in "\n".join(plan)


def snapshot(session: Session) -> str:
    return str(session.execute(text("SELECT CAST(pg_current_snapshot() AS text)")).scalar_one())


def test_a_search_is_one_round_trip_while_nothing_is_written(
    processes: list[Process], index: VectorIndex, tmp_path: Path
) -> None:
    """And two after a change, which is in the answer."""
    reader, writer = processes[:2]
    reader.nearest(index, VECTORS[0])
    fresh = clip_like(1, DIMENSIONS, 12)[0]
    found: list[list[int]] = []
    before = exact(index, reader, fresh)

    def search() -> None:
        thread = Thread(target=lambda: found.append(reader.nearest(index, fresh)), name=REQUESTS)
        thread.start()
        thread.join()

    with traced(reader.sessions.kw["bind"], tmp_path / "trace") as counted:
        assert counted(search) == Traffic(round_trips=1, statements=3)
        with writer.sessions.begin() as session:
            put_vectors(session, index, [COUNT + 1], fresh[np.newaxis])
        assert counted(search).round_trips == 2
        assert counted(search).round_trips == 1
    assert found == [before, *[exact(index, reader, fresh)] * 2]
