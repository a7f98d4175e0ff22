"""Searches with a filter compare the codes of what passes, and answer as SQL alone does."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session

from app.catalog import collections
from app.catalog.collections import NewCollection
from app.catalog.filters.filters import parse
from app.database.tables import VectorIndex, embeddings, images
from app.index import vector_indexes
from app.index.embeddings import put_vectors
from app.index.hnsw_search import Condition
from app.index.paged_scans import IndexReader
from app.index.resident import passing_codes, resident_index
from app.index.resident.changes import current_snapshot
from app.index.resident.codes import Ids
from app.index.resident.passing_codes import passing_ids
from app.index.scan_plans import plan_scan
from tests.fixtures.generated_vectors import clip_like
from tests.fixtures.resident_processes import COUNT, DIMENSIONS, LATER, VECTORS, Process, exact

PAGE = 12
MOVED = COUNT - 100  # the pictures beyond are moved away, a few at a time
DECLARED = {"n": "number", "kind": "text"}


@pytest.fixture(autouse=True)
def described(processes: list[Process], index: VectorIndex) -> VectorIndex:
    """Pictures with a number and a kind each."""
    rng = np.random.default_rng(4)
    values = rng.integers(0, 1_000, COUNT + LATER).tolist()
    told = [json.dumps({"n": n, "kind": "abcd"[n % 4]}) for n in values]
    with processes[0].sessions.begin() as session:
        query = text(
            "UPDATE images SET metadata = told.entry::jsonb, collection_id = :collection FROM "
            "unnest(CAST(:told AS text[])) WITH ORDINALITY AS told (entry, n) WHERE id = told.n"
        )
        session.execute(query, {"told": told, "collection": index.collection_id})
    return index


@pytest.fixture
def other(index: VectorIndex, processes: list[Process]) -> VectorIndex:
    """The empty index of another collection."""
    with processes[0].sessions.begin() as session:
        new = NewCollection("", f"other-{index.id}-filtered", "english", {})
        collection = collections.create(session, new)
        return vector_indexes.create_index(session, collection.id, index.space)


def random_filter(rng: np.random.Generator) -> dict[str, Any]:
    """A filter that passes from nothing to all."""
    below = int(rng.choice([0, 3, 30, 300, 700, 2_000]))
    kinds = [str(one) for one in rng.choice(list("abcdx"), 2)]
    number, kind = {"n": {"lt": below}}, {"kind": {"in": kinds}}
    filters: list[dict[str, Any]] = [
        number,
        {"kind": kinds[0]},
        {"and": [number, kind]},
        {"or": [number, {"kind": kinds[0]}]},
        {"not": number},
        {"metadata.n": {"gte": below}, **kind},
    ]
    return filters[int(rng.integers(len(filters)))]


def paged(
    process: Process, index: VectorIndex, vector: Any, condition: Condition, depth: int
) -> list[int]:
    """What pages of PAGE pictures by codes hold, each in a transaction of its own."""
    found: list[int] = []
    scan = None
    resident = process.loaded(index)
    assert resident is not None
    while len(found) < depth:
        with process.sessions.begin() as session:
            view = resident.view(session, condition)
            scan = scan or plan_scan(session, index, condition, PAGE, view=view)
            assert scan.method == "resident"
            reader = IndexReader(session, index, vector, condition, view=view)
            near, scan = reader.window(scan, len(found), len(found) + PAGE)
        found += [image_id for image_id, _ in near]
        if len(near) < PAGE:
            break
    return found


def change(session: Session, step: int, index: VectorIndex, other: VectorIndex) -> None:
    """Something that changes what passes, or what is nearest."""
    rng = np.random.default_rng(1_000 + step)
    ids = [int(one) for one in rng.choice(MOVED, 20, replace=False) + 1]
    of_some = update(images).where(images.c.id.in_(ids))
    match step % 6:
        case 0:  # other values
            session.execute(of_some.values(metadata={"n": int(rng.integers(1_000)), "kind": "x"}))
        case 1:  # deleted, and can be restored
            session.execute(of_some.values(removed_at=text("now()")))
        case 2:  # restored
            session.execute(update(images).values(removed_at=None))
        case 3:  # new vectors, also of pictures that had none
            later = [COUNT + 10 * step % LATER + one for one in range(1, 6)]
            put_vectors(session, index, ids[:5] + later, clip_like(10, DIMENSIONS, step))
        case 4:  # no vector any more
            session.execute(delete(embeddings).where(embeddings.c.image_id.in_(ids)))
        case 5:  # moved to another collection, for good
            ids = [MOVED + step // 6 * 5 + one for one in range(1, 6)]
            of_some = update(images).where(images.c.id.in_(ids))
            moved = update(embeddings).where(embeddings.c.image_id.in_(ids))
            session.execute(moved.values(index_id=other.id))
            session.execute(of_some.values(collection_id=other.collection_id))


def test_random_filters_answer_as_sql_whatever_is_written(
    processes: list[Process], described: VectorIndex, other: VectorIndex
) -> None:
    rng = np.random.default_rng(5)
    sizes = set()
    for step in range(90):
        reader, writer = processes[step % 2], processes[2]
        condition = parse(random_filter(rng), DECLARED).condition
        query = clip_like(1, DIMENSIONS, 50 + step)[0]
        depth = int(rng.choice([PAGE, 5 * PAGE]))
        expected = exact(described, reader, query, depth, condition)
        assert paged(reader, described, query, condition, depth) == expected, step
        assert paged(reader, described, query, condition, depth) == expected, step
        sizes.add(min(len(expected), PAGE))
        with writer.sessions.begin() as session:
            change(session, step, described, other)
    assert {0, PAGE} < sizes


def test_what_passes_is_asked_once_until_something_is_written(
    processes: list[Process], described: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def noted(session: Session, index: VectorIndex, condition: Condition) -> Ids:
        asked.append(condition)
        return passing_ids(session, index, condition)

    monkeypatch.setattr(resident_index, "passing_ids", noted)
    reader, writer = processes[:2]
    conditions = [parse({"n": {"lt": most}}, DECLARED).condition for most in (100, 200)]
    for condition in conditions:
        paged(reader, described, VECTORS[0], condition, 3 * PAGE)
    assert len(asked) >= 2
    assert any(is_quiet_and_asks_nothing(reader, described, conditions, asked) for _ in range(50))
    asked.clear()
    with writer.sessions.begin() as session:
        session.execute(update(images).where(images.c.id == 1).values(metadata={}))
    paged(reader, described, VECTORS[0], conditions[0], 3 * PAGE)
    assert asked


def is_quiet_and_asks_nothing(
    reader: Process, index: VectorIndex, conditions: Sequence[Condition], asked: list[Condition]
) -> bool:
    """Whether nobody wrote meanwhile; then nothing may be asked.

    Snapshots are the whole server's, whose other databases are other tests'.
    """
    with reader.sessions() as session:
        before = current_snapshot(session)
    asked.clear()
    for condition in conditions:
        paged(reader, index, VECTORS[0], condition, 3 * PAGE)
    with reader.sessions() as session:
        is_quiet = current_snapshot(session) == before
    assert not (is_quiet and asked)
    return is_quiet


def test_only_the_filters_asked_last_are_kept(
    processes: list[Process], described: VectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing_codes, "MOST_FILTERS", 3)
    for most in range(10):
        condition = parse({"n": {"lt": most}}, DECLARED).condition
        paged(processes[0], described, VECTORS[0], condition, PAGE)
    resident = processes[0].loaded(described)
    assert resident is not None
    assert len(resident._passing._places) == 3
