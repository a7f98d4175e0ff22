"""Captions compared by a sentence model: named by a collection, embedded by a job, searched."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.encoders import sentences
from app.errors import Interrupted
from app.ingest.jobs import jobs
from app.runtime.services import Services
from app.settings import Settings
from app.understanding.captions import caption_vector_rows
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import sql
from tests.fixtures.http_jobs import JOBS, counts, ended, working
from tests.fixtures.search_library import answer, refused
from tests.fixtures.sentence_models import WIDTH, needs_transformers, write_sentence_model

DEFAULT = "/api/v1/collections/default"
NAMES = ("sunflower.jpg", "dog.jpg", "red-rose.jpg")
BY_CAPTIONS = {"alpha": 0, "captions": 1}
VECTORS = "SELECT fingerprint, vector_dims(embedding) FROM sentence_embeddings ORDER BY image_id"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sentence models."""
    if find_spec("transformers") is None:
        pytest.skip("the extra multilingual is not installed")
    folder = tmp_path_factory.mktemp("models")
    return [write_sentence_model(folder / str(seed), seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> list[str]:
    """What the settings open to collections; without the package, of folders that are not there."""
    if find_spec("transformers") is None:
        return ["local-dir:/nowhere"]
    return [f"local-dir:{one}" for one in request.getfixturevalue("folders")]


@pytest.fixture(scope="module")
def settings(settings: Settings, names: list[str]) -> Settings:
    return settings.model_copy(update={"sentence_models": tuple(names)})


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services) -> Iterator[dict[str, int]]:
    """Pictures with generated captions."""
    files = {name: (TEST_IMAGES / name).read_bytes() for name in NAMES}
    found = {
        name: client.post("/upload", files={"file": (f"{number}.jpg", data)}).json()[0]["id"]
        for number, (name, data) in enumerate(files.items())
    }
    change(client, services, annotators=["caption"])
    yield found
    change(client, services, annotators=[], sentence_model=None)


def change(client: TestClient, services: Services, **body: Any) -> dict[str, Any]:
    """Change the collection, and await the annotator's job; what the API says of the collection."""
    with working(services):
        changed = client.patch(DEFAULT, json=body)
        assert changed.is_success, changed.text
        for one in client.get(f"{DEFAULT}/annotators").json()["data"]:
            job = ended(client, f"{JOBS}/{one['job_id']}")
            assert job["status"] == "succeeded", job
    told: dict[str, Any] = changed.json()
    return told


def last_job(client: TestClient) -> dict[str, Any]:
    (found,) = client.get(f"{DEFAULT}/annotators").json()["data"]
    job: dict[str, Any] = client.get(f"{JOBS}/{found['job_id']}").json()
    return job


@needs_transformers
def test_a_caption_is_found_by_what_it_means_to_the_sentence_model(
    client: TestClient, services: Services, ids: dict[str, int], names: list[str]
) -> None:
    """`blossom` stands in no caption; the sentence model alone knows that it means a flower."""
    before = answer(client, query="a yellow flower", hybrid=BY_CAPTIONS, explain=True)
    told = change(client, services, sentence_model=names[0])
    assert told["sentence_model"] == names[0]
    assert counts(last_job(client)) == {"total": 3, "processed": 3}  # captions alone
    found = answer(client, query="a yellow blossom", hybrid=BY_CAPTIONS, explain=True)
    (first, *others) = found["hits"]
    assert (first["id"], first["caption_rank"]) == (ids["sunflower.jpg"], 1)
    assert (first["lexical_rank"], first["explain"]["from_captions"]) == (None, first["score"])
    assert len(others) == 2
    rows = sql(services, VECTORS)
    assert [size for _, size in rows] == [WIDTH] * 3
    asked = found["explain"]["captions"]
    assert asked == {"model": names[0], "fingerprint": rows[0][0]}
    assert before["explain"]["captions"]["model"] == found["model"] == "demo model"
    assert found["fingerprint"] == before["fingerprint"]  # pictures are compared as before


@needs_transformers
def test_several_texts_count_by_their_weights_and_pictures_do_not(
    client: TestClient, services: Services, ids: dict[str, int], names: list[str]
) -> None:
    change(client, services, sentence_model=names[0])
    pig, rose = ids["dog.jpg"], ids["red-rose.jpg"]  # the captioner takes the dog for a pig
    for weights, first in (((1, 0.1), pig), ((0.1, 1), rose)):
        texts = zip(("a brown hog in a prairie", "a crimson blossom"), weights, strict=True)
        query = [{"text": text, "weight": weight} for text, weight in texts]
        for other in ids.values():
            hits = answer(client, query=[*query, {"id": other}], hybrid=BY_CAPTIONS)["hits"]
            assert hits[0]["id"] == first
    cancelled = [{"text": "a dog"}, {"text": "a  dog", "weight": -1}, {"id": pig}]
    body = {"query": cancelled, "hybrid": BY_CAPTIONS}
    assert "cancel each other out" in refused(client.post("/api/v1/search", json=body))


@needs_transformers
def test_a_batch_is_answered_as_each_search_alone(
    client: TestClient, services: Services, ids: dict[str, int], names: list[str]
) -> None:
    change(client, services, sentence_model=names[0])
    searches = [
        {"query": text, "hybrid": BY_CAPTIONS} for text in ("a brown hog", "a yellow blossom")
    ]
    sent = client.post("/api/v1/search/batch", json={"searches": searches})
    assert sent.is_success, sent.text
    for search, one in zip(searches, sent.json()["results"], strict=True):
        alone = answer(client, **search)["hits"]
        assert [hit["id"] for hit in one["response"]["hits"]] == [hit["id"] for hit in alone]


@needs_transformers
def test_pages_go_on_until_another_model_is_named(
    client: TestClient, services: Services, ids: dict[str, int], names: list[str]
) -> None:
    change(client, services, sentence_model=names[0])
    query = {"query": "a crimson blossom", "hybrid": BY_CAPTIONS}
    whole = [hit["id"] for hit in answer(client, **query)["hits"]]
    first = answer(client, **query, limit=1)
    second = answer(client, cursor=first["next_cursor"])
    assert [hit["id"] for hit in [*first["hits"], *second["hits"]]] == whole[:2]
    change(client, services, sentence_model=None)
    late = client.post("/api/v1/search", json={"cursor": first["next_cursor"]})
    assert "captions are compared by another model now" in refused(late)


@needs_transformers
def test_another_model_embeds_the_captions_alone_and_null_ends_it(
    client: TestClient, services: Services, ids: dict[str, int], names: list[str]
) -> None:
    change(client, services, sentence_model=names[0])
    before = sql(services, VECTORS)
    written = sql(services, "SELECT image_id, updated_at FROM image_annotations ORDER BY 1")
    change(client, services, sentence_model=names[1])
    after = sql(services, VECTORS)
    assert len({one for one, _ in before}) == len({one for one, _ in after}) == 1
    assert before[0] != after[0]
    assert sql(services, "SELECT image_id, updated_at FROM image_annotations ORDER BY 1") == written
    hits = answer(client, query="a blossom", hybrid=BY_CAPTIONS)["hits"]
    assert sorted(hit["caption_rank"] for hit in hits) == [1, 2, 3]
    change(client, services, language="english")  # what is not sent stays
    assert sql(services, VECTORS) == after
    assert change(client, services, sentence_model=None)["sentence_model"] is None
    assert sql(services, VECTORS) == []
    hits = answer(client, query="a yellow flower", hybrid=BY_CAPTIONS)["hits"]
    assert hits[0]["id"] == ids["sunflower.jpg"]  # by the model of the searches, as before


@needs_transformers
def test_other_files_of_the_model_make_its_vectors_stale(
    client: TestClient, services: Services, ids: dict[str, int], names: list[str]
) -> None:
    """Noticed within a minute, by whoever looks for what is due."""
    change(client, services, sentence_model=names[1])
    before = sql(services, VECTORS)
    job = last_job(client)["id"]
    services.annotators.keep_current()
    assert last_job(client)["id"] == job  # nothing is due
    folder = Path(names[1].removeprefix("local-dir:"))
    write_sentence_model(folder, seed=2)
    services.annotators.keep_current()
    assert last_job(client)["id"] != job
    with working(services):
        ended(client, f"{JOBS}/{last_job(client)['id']}")
    after = sql(services, VECTORS)
    assert len(after) == len(before) == 3
    assert {one for one, _ in after}.isdisjoint({one for one, _ in before})
    found = answer(client, query="a blossom", hybrid=BY_CAPTIONS, explain=True)
    assert found["explain"]["captions"]["fingerprint"] == after[0][0]
    assert len(found["hits"]) == 3


@needs_transformers
def test_a_cancelled_job_embeds_no_further_caption(
    client: TestClient, services: Services, ids: dict[str, int], names: list[str]
) -> None:
    change(client, services, sentence_model=None)
    client.patch(DEFAULT, json={"sentence_model": names[0]})
    with services.sessions.begin() as session:  # what was embedded for another is not written
        collection_id = services.registry.default.collection.id
        named = [
            caption_vector_rows.keep_sentence_model(session, collection_id, one)
            for one in (names[0], names[1], None)
        ]
    assert named == [True, False, False]
    job_id = last_job(client)["id"]
    with services.sessions.begin() as session:
        job = jobs.start(session, job_id)
    assert client.post(f"{JOBS}/{job_id}/cancel").is_success
    with pytest.raises(Interrupted, match="cancelled"):
        services.worker.annotation_work.caption_vectors.fill(job)
    assert sql(services, VECTORS) == []
    with working(services):
        assert ended(client, f"{JOBS}/{job_id}")["status"] == "cancelled"
    change(client, services, sentence_model=names[0])  # naming it again goes on
    assert len(sql(services, VECTORS)) == 3


@needs_transformers
def test_a_model_that_is_not_there_is_refused_when_it_is_named(
    client: TestClient,
    services: Services,
    names: list[str],
    folders: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(client, services, sentence_model=None)
    monkeypatch.setattr(sentences, "IDLE_SECONDS", 0.0)
    services.worker.annotation_work.close_if_idle()  # one in memory would do
    gone = folders[1] / "modules.json"
    text = gone.read_text()
    gone.unlink()
    sent = client.patch(DEFAULT, json={"sentence_model": names[1]})
    assert "modules.json" in refused(sent, 503)
    gone.write_text(text)
    assert client.get(DEFAULT).json()["sentence_model"] is None


def test_others_than_the_settings_name_are_refused(client: TestClient) -> None:
    for name in ("local-dir:/etc", "hf-hub:someone/else", ""):
        for sent in (
            client.patch(DEFAULT, json={"sentence_model": name}),
            client.post("/api/v1/collections", json={"name": "x", "sentence_model": name}),
        ):
            assert "IMAGE_SEARCH_SENTENCE_MODELS" in refused(sent)
    assert client.get(DEFAULT).json()["sentence_model"] is None


def test_without_the_package_the_extra_is_named(
    client: TestClient, services: Services, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "find_spec", lambda _name: None)
    monkeypatch.setattr(sentences, "IDLE_SECONDS", 0.0)
    services.worker.annotation_work.close_if_idle()
    sent = client.patch(DEFAULT, json={"sentence_model": names[0]})
    assert "picture-search[multilingual]" in refused(sent)
