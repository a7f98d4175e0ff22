"""Why a picture is in an answer or is not: each cause, with real pictures, jobs and graphs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.catalog.collections import NewCollection
from app.catalog.images import image_deletion, image_rows
from app.database.tables import VectorIndex
from app.errors import FilterRejected, QueryRejected
from app.index import vector_indexes
from app.index.embeddings import put_vectors
from app.index.vector_indexes import Shape
from app.ingest.jobs.job_submission import JobOptions
from app.ingest.upload_stages import Upload
from app.runtime.open_collection import OpenCollection
from app.runtime.services import Services
from app.search.explanation.image_explanation import MAX_RANK, Explainer, Explanation
from app.search.explanation.targets import Target
from tests.fixtures import http_jobs
from tests.fixtures.drawn_pictures import png
from tests.fixtures.folder_jobs import items, run, sql
from tests.fixtures.generated_vectors import clip_like, insert_images

pytestmark = pytest.mark.usefixtures("search_by_graph")

TEXT = "a red tomato"
BROKEN = png(0)[:60]
CROWD = 4_000  # pictures, so that some lie beyond MAX_RANK
ALL_COMPARED = {"format": "PNG"}  # of few that pass a filter: here all do
TRIED_STEP = 20  # of every twentieth it is asked
SPARSE = Shape(m=2, ef_construction=4)  # a graph in which much is not found
DIMENSIONS = 128  # the demo model's


@pytest.fixture(autouse=True)
def _empty(services: Services) -> Iterator[None]:
    yield
    default = services.registry.default.collection.id
    sql(services, "DELETE FROM images WHERE collection_id = :id", id=default)
    sql(services, "DELETE FROM jobs")


def explainer(opened: OpenCollection) -> Explainer:
    search = opened.search
    return Explainer(
        search.sessions,
        search.queries,
        search.statistics,
        opened.index,
        search.resident_indexes,
    )


def explained(
    services: Services,
    target: Target,
    filter_body: dict[str, Any] | None = None,
    opened: OpenCollection | None = None,
) -> Explanation:
    opened = opened or services.registry.default
    return explainer(opened).explain(opened.collection, TEXT, target, filter_body or {})


def store(opened: OpenCollection, *seeds: int, **metadata: object) -> list[int]:
    """Pictures that are sent as 0.png and so on; their ids."""
    files = [Upload(f"{seed}.png", png(seed)) for seed in seeds]
    outcomes = opened.uploads.store(files, None, metadata)
    return sorted(one.image.id for one in outcomes if one.image)


def other(services: Services, name: str, namespace: str = "default") -> OpenCollection:
    return services.registry.create(NewCollection(namespace, name), None, Shape())


def answer(services: Services) -> list[int]:
    """The ids in the order of the exact answer."""
    return [one.image.id for one in services.search.by_text(TEXT, 100).hits]


def test_found(services: Services) -> None:
    ids = store(services.registry.default, *range(5))
    for rank, image_id in enumerate(answer(services), 1):
        told = explained(services, image_id)
        assert (told.cause, told.image_id) == ("found", image_id)
        assert (told.exact_rank, told.approximate_rank) == (rank, rank)
        assert told.sentence == f"It is number {rank} of the answer."
    assert len(ids) == 5


def test_scores_are_those_of_the_answer(services: Services) -> None:
    store(services.registry.default, *range(5))
    services.search.statistics.measure()
    before = 1.0
    for hit in services.search.by_text(TEXT, 5).hits:
        told = explained(services, hit.image.id)
        assert told.distance == pytest.approx(hit.distance, abs=1e-9)
        assert told.score == pytest.approx(1 - hit.distance, abs=1e-9)
        assert told.confidence is not None
        assert 0 <= told.confidence <= before
        before = told.confidence


def test_by_path_and_by_the_name_it_was_sent_under(services: Services, client: TestClient) -> None:
    with http_jobs.working(services):
        http_jobs.done(client, http_jobs.send(client, ("holiday.png", png(1))))
    (image_id,) = answer(services)
    path = explained(services, image_id).path
    assert path is not None
    for target in (path, "holiday.png"):
        told = explained(services, target)
        assert (told.cause, told.image_id, told.path) == ("found", image_id, path)


def test_alike_pictures_are_ranked_by_id(services: Services) -> None:
    opened = services.registry.default
    first, second = store(opened, 1, 2)
    with services.search.sessions.begin() as session:
        vector = clip_like(1, DIMENSIONS, seed=1)
        put_vectors(session, opened.index, [first, second], np.concatenate([vector, vector]))
    told = [explained(services, one) for one in (first, second)]
    assert [(one.exact_rank, one.approximate_rank) for one in told] == [(1, 1), (2, 2)]


def test_filtered(services: Services) -> None:
    default = services.registry.default
    wet = store(default, *range(4), place="sea")
    dry = store(default, *range(4, 8), place="land")
    order = answer(services)
    body = {"metadata.place": "land", "width": {"gte": 1, "lt": 90}, "format": "PNG"}
    for image_id in wet:
        told = explained(services, image_id, body)
        assert told.cause == "filtered"
        assert told.removed_by == ("filter.metadata.place", "filter.width.lt")
        assert told.exact_rank == order.index(image_id) + 1  # without the filter
        assert told.approximate_rank is None
        assert told.score is not None
        assert "filter.metadata.place, filter.width.lt" in told.sentence
    body = {"metadata.place": "land"}
    passing = [one for one in order if one in dry]
    for image_id in dry:
        told = explained(services, image_id, body)
        rank = passing.index(image_id) + 1
        assert (told.cause, told.exact_rank, told.approximate_rank) == ("found", rank, rank)
        assert told.removed_by == ()


def test_no_vector(services: Services) -> None:
    (image_id,) = store(services.registry.default, 1)
    sql(services, "DELETE FROM embeddings WHERE image_id = :id", id=image_id)
    told = explained(services, image_id)
    assert told == Explanation("no_vector", image_id, told.path)
    assert told.score is None
    told = explained(services, image_id, {"format": "JPEG"})
    assert (told.cause, told.removed_by) == ("no_vector", ("filter.format",))
    assert "filter.format" in told.sentence


def test_removed(services: Services) -> None:
    ids = store(services.registry.default, 1, 2, 3)
    order = answer(services)
    with services.search.sessions.begin() as session:
        image_deletion.mark_deleted(session, [image_rows.get_image(session, order[0])])
    told = explained(services, order[0])
    assert (told.cause, told.image_id, told.exact_rank) == ("removed", order[0], None)
    assert explained(services, told.path or "").cause == "removed"
    for rank, image_id in enumerate(order[1:], 1):  # those that are left move up
        told = explained(services, image_id)
        assert (told.exact_rank, told.approximate_rank) == (rank, rank)
    assert sorted(order) == ids


def test_other_collection(services: Services) -> None:
    elsewhere = other(services, "elsewhere")
    (image_id,) = store(elsewhere, 1)
    ((path,),) = sql(services, "SELECT shown_path(path) FROM images WHERE id = :id", id=image_id)
    for target in (image_id, path):
        told = explained(services, target)
        assert (told.cause, told.collection) == ("other_collection", "default/elsewhere")
        assert (told.image_id, told.path, told.score) == (image_id, "1.png", None)
        assert "default/elsewhere" in told.sentence
    assert explained(services, image_id, opened=elsewhere).cause == "found"


def test_of_another_namespace_nothing_is_told(services: Services) -> None:
    elsewhere = other(services, "elsewhere", namespace="test")
    (image_id,) = store(elsewhere, 1)
    path = explained(services, image_id, opened=elsewhere).path
    assert path is not None
    for target in (image_id, path):
        assert explained(services, target) == Explanation("unknown")


@pytest.mark.parametrize(
    "target", [0, -1, 10**6, 10**30, "nowhere.png", "", "a\0b", "\ud800", "%", "x" * 10_000]
)
def test_unknown(services: Services, target: Target) -> None:
    store(services.registry.default, 1)
    assert explained(services, target) == Explanation("unknown")
    assert explained(services, target).sentence


def test_refused(services: Services, worker: None, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(BROKEN)
    (tmp_path / "good.png").write_bytes(png(1))
    job = run(services, tmp_path)
    path = str(tmp_path / "broken.png")
    told = explained(services, path)
    item = items(services, job)["broken.png"]
    assert told == Explanation("refused", path=path, reason=item.reason, job_id=job.id)
    assert told.sentence == f"Job {job.id} refused it: {item.reason}"
    elsewhere = other(services, "refused-elsewhere")
    assert explained(services, path, opened=elsewhere).cause == "unknown"


def test_refused_under_the_name_it_was_sent_under(
    services: Services, worker: None, client: TestClient
) -> None:
    job = http_jobs.done(client, http_jobs.send(client, ("sent.png", BROKEN)))
    told = explained(services, "sent.png")
    assert (told.cause, told.job_id) == ("refused", job["id"])
    assert told.reason == http_jobs.reasons(client, job)["sent.png"]


def test_the_newest_refusal_counts(services: Services, worker: None, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(BROKEN)
    first = run(services, tmp_path)
    (tmp_path / "bad.png").write_bytes(b"nothing at all")
    second = run(services, tmp_path)
    run(services, tmp_path, JobOptions(dry_run=True))  # it refuses nothing
    told = explained(services, str(tmp_path / "bad.png"))
    assert told.job_id == second.id
    assert told.reason != items(services, first)["bad.png"].reason


def test_a_picture_tells_that_its_newest_version_was_refused(
    services: Services, worker: None, tmp_path: Path
) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(png(1))
    run(services, tmp_path)
    assert explained(services, str(file)).reason is None
    file.write_bytes(BROKEN)
    job = run(services, tmp_path)
    told = explained(services, str(file))
    assert (told.cause, told.job_id) == ("found", job.id)
    assert told.reason == items(services, job)["picture.png"].reason
    assert str(told.reason) in told.sentence
    told = explained(services, str(file), {"format": "JPEG"})
    assert (told.cause, told.job_id) == ("filtered", job.id)
    file.write_bytes(png(2))
    run(services, tmp_path)
    told = explained(services, str(file))
    assert (told.cause, told.reason, told.job_id) == ("found", None, None)


@pytest.fixture(scope="module")
def crowd(services: Services) -> OpenCollection:
    """A collection of CROWD generated vectors, with a poor graph, searched with few candidates."""
    opened = services.registry.create(NewCollection("test", "crowd"), None, SPARSE)
    with services.search.sessions.begin() as session:
        vector_indexes.drop_hnsw_if_empty(session, opened.index)
        insert_images(session, opened.collection.id, ["{}"] * CROWD)
        query = text("SELECT id FROM images WHERE collection_id = :id ORDER BY id")
        ids = list(session.execute(query, {"id": opened.collection.id}).scalars())
        put_vectors(session, opened.index, ids, clip_like(CROWD, DIMENSIONS, seed=1))
        vector_indexes.build_hnsw(session, opened.index)
    return replace(opened, index=replace(opened.index, ef_search=10))


def nearest_first(services: Services, index: VectorIndex) -> list[int]:
    """The ids of the crowd, as Postgres sorts them without the graph."""
    vector = services.encoder.encode_texts([TEXT])[0]
    query = (
        "SELECT image_id FROM embeddings WHERE index_id = :index "
        "ORDER BY (embedding::halfvec(128) <=> CAST(:vector AS halfvec(128))) + 0, image_id"
    )
    shown = "[" + ",".join(map(str, vector.tolist())) + "]"
    return [row[0] for row in sql(services, query, index=index.id, vector=shown)]


def test_missed_by_the_graph(services: Services, crowd: OpenCollection) -> None:
    order = nearest_first(services, crowd.index)
    told = {
        rank: explained(services, order[rank - 1], opened=crowd)
        for rank in range(MAX_RANK, 0, -TRIED_STEP)
    }
    assert all(one.exact_rank == rank for rank, one in told.items())
    assert {one.cause for one in told.values()} == {"found", "missed"}
    missed = {rank: one for rank, one in told.items() if one.cause == "missed"}
    for rank, one in missed.items():
        assert one.approximate_rank is None
        assert one.score is not None
        assert f"number {rank} of the exact answer" in one.sentence
    for rank in missed:
        one = explained(services, order[rank - 1], ALL_COMPARED, crowd)
        assert (one.cause, one.approximate_rank) == ("found", rank)


def test_too_far(services: Services, crowd: OpenCollection) -> None:
    order = nearest_first(services, crowd.index)
    for rank in (MAX_RANK + 500, CROWD):
        told = explained(services, order[rank - 1], ALL_COMPARED, crowd)
        assert (told.cause, told.exact_rank) == ("too_far", rank)
        assert f"{rank - 1:,} pictures are nearer" in told.sentence


def test_a_filter_brings_near_what_is_far(services: Services, crowd: OpenCollection) -> None:
    order = nearest_first(services, crowd.index)
    ids = sorted([order[0], order[1999], order[CROWD - 1]])
    sql(
        services,
        "UPDATE images SET metadata = CAST('{\"chosen\": true}' AS jsonb) WHERE id = ANY(:ids)",
        ids=ids,
    )
    told = explained(services, order[CROWD - 1], {"metadata.chosen": True}, crowd)
    assert (told.cause, told.exact_rank, told.approximate_rank) == ("found", 3, 3)


def test_what_is_asked_wrongly(services: Services) -> None:
    with pytest.raises(FilterRejected):
        explained(services, 1, {"width": {"like": 1}})
    opened = services.registry.default
    with pytest.raises(QueryRejected):
        explainer(opened).explain(opened.collection, " ", 1, {})
