"""PRECISION=auto: int8 is tried for an index that is still empty, and kept with its vectors."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from app.catalog import collections
from app.database.connections import Sessions
from app.database.tables import embeddings, images
from app.encoders import hardware
from app.encoders.torch_models import int8, int8_quality
from app.errors import CalibrationLost, CollectionRejected
from app.index import generations, vector_indexes
from app.ingest.upload_stages import Upload
from app.runtime import precision_choice, sample_pictures
from app.runtime.assembly import open_services
from app.runtime.models import default_model, may_be_int8
from app.runtime.reindexing.changes import Changes
from app.runtime.services import Services
from app.settings import Settings
from tests.fixtures.drawn_pictures import png
from tests.fixtures.tiny_models import tiny_model

FEW = int8.FEWEST  # pictures are enough here


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model", seed=1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(FEW):
        (folder / f"{seed}.png").write_bytes(png(seed))
    return folder


@pytest.fixture
def auto(settings: Settings, model: str, pictures: Path, tmp_path: Path) -> Settings:
    """A tiny model is the server's own, on the CPU; nothing is calibrated yet."""
    pytest.importorskip("nncf")
    changes = {
        "testing": False,
        "device": "cpu",
        "precision": "auto",
        "clip_model": model,
        "images_dir": pictures,
        "upload_dir": tmp_path / "uploads",
        "model_cache_dir": tmp_path / "converted",
    }
    return settings.model_copy(update=changes)


@pytest.fixture(autouse=True)
def _anything_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny model of random weights is neither faithful in int8 nor slow otherwise."""
    own = set(" ".join(hardware.processor()).split())
    monkeypatch.setattr(hardware, "INT8_FLAGS", own)
    monkeypatch.setattr(int8, "SAMPLE", FEW)
    monkeypatch.setattr(int8_quality, "MINIMUM_MEAN_COSINE", 0.5)
    monkeypatch.setattr(int8_quality, "MINIMUM_OVERLAP", 0.1)
    monkeypatch.setattr(int8_quality, "MOST_LOST_RECALL", 1.0)
    monkeypatch.setattr(precision_choice, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(precision_choice, "GAIN", 1e9)
    for module in (precision_choice, sample_pictures):
        monkeypatch.setattr(module, "FEWEST_SAMPLES", FEW)


@pytest.fixture(autouse=True)
def _nothing_is_left(sessions: Sessions) -> Iterator[None]:
    yield
    with sessions.begin() as session:
        session.execute(delete(embeddings))
        session.execute(delete(images))
        default = collections.default(session)
        for generation in generations.of_collection(session, default.id):
            vector_indexes.drop_index(session, generation.index)


def started(settings: Settings) -> tuple[str, list[str]]:
    """The precision that a server starts with, and what it says about int8."""
    told: list[str] = []
    with open_services(settings, tell=told.append) as services:
        space = services.registry.default.index.space
        assert space == services.encoder.space
        return services.precision, told


def indexed(services: Services) -> None:
    """Have one vector in the index."""
    (outcome,) = services.registry.default.uploads.store([Upload("a.png", png(1))], None, {})
    assert outcome.stored()


def test_int8_is_taken_where_it_pays(auto: Settings) -> None:
    """Also where an earlier start, without pictures, has made an index in floating point."""
    with open_services(auto) as services:
        assert services.registry.default.index.precision == "float"
    precision, told = started(auto)
    assert precision == "int8"
    assert [line[:12] for line in told] == ["Trying int8 ", "Pictures are"]
    assert "Pictures are indexed in int8: " in told[1]
    assert "mean cosine to fp32 0." in told[1]
    assert "recall@1 of captions 0." in told[1]


def test_later_starts_keep_the_calibration(auto: Settings, tmp_path: Path) -> None:
    with open_services(auto, tell=lambda _line: None) as services:
        made = services.registry.default.index
        indexed(services)
    (kept,) = auto.model_cache_dir.glob("*-int8")
    before = (kept / int8.VERDICT).stat().st_mtime_ns
    assert may_be_int8(auto)
    precision, told = started(auto)
    assert (precision, told) == ("int8", [])
    with open_services(auto) as services:  # as of `make reindex`, say
        assert services.registry.default.index == made
        assert services.registry.models.of(default_model(auto)) is services.encoder
        with pytest.raises(CollectionRejected, match="nothing would change"):
            services.reindexing.submit(services.registry.default, Changes(default_model(auto)))
    assert (kept / int8.VERDICT).stat().st_mtime_ns == before

    kept.rename(tmp_path / kept.name)  # it is lost
    for precision in ("auto", "int8", "fp32"):
        lost = auto.model_copy(update={"precision": precision})
        with pytest.raises(CalibrationLost, match="Copy the folder that ends in -int8 back"):
            started(lost)
    assert not list(auto.model_cache_dir.glob("*-int8"))
    shutil.copytree(tmp_path / kept.name, kept)
    assert started(auto) == ("int8", [])


def test_an_index_whose_calibration_is_lost_can_be_reindexed(auto: Settings) -> None:
    """As `make reindex PRECISION=float` does, in a process where nothing can search it."""
    with open_services(auto, tell=lambda _line: None) as services:
        indexed(services)
        lost = services.registry.default.index
    shutil.rmtree(auto.model_cache_dir)
    with open_services(auto, to_reindex=True) as services:
        default = services.registry.default
        assert default.index == lost
        with pytest.raises(CalibrationLost):
            default.encoder.load()
        with services.sessions.begin() as session:
            # Tuned by a former version: its recall has to be measured.
            session.execute(text("UPDATE vector_indexes SET ef_search = 80"))
        known = services.registry.find_id(default.collection.id)
        job_id = services.reindexing.submit(known, Changes(precision="float"))
        services.worker.reindex_work.run(job_id, attempt=1)
        services.worker.reindex_work.finish(job_id, attempt=1)
        job = services.job_submission.job(job_id)
        assert (job.state, job.added, job.failed) == ("succeeded", 1, 0)
        (ready,) = [
            one.generation
            for one in services.reindexing.listed(known)
            if one.generation.job_id == job_id
        ]
        services.reindexing.activate(known, ready.index.id)
    assert started(auto)[0] in {"fp32", "bf16"}


def test_an_empty_index_in_int8_is_given_up_if_asked_for(auto: Settings) -> None:
    """Not by itself: another server of the database may have it open."""
    assert started(auto)[0] == "int8"
    shutil.rmtree(auto.model_cache_dir)
    with pytest.raises(CalibrationLost, match="start once with IMAGE_SEARCH_PRECISION=fp32"):
        started(auto)
    assert started(auto.model_copy(update={"precision": "fp32"}))[0] == "fp32"
    assert started(auto)[0] == "int8"  # calibrated anew


@pytest.mark.parametrize(
    ("module", "name", "value", "reason"),
    [
        (precision_choice, "GAIN", 0.0, "int8 gains too little ("),
        (int8_quality, "MINIMUM_OVERLAP", 1.1, "int8 changes their vectors too much."),
        (precision_choice, "MOST_SECONDS", 0.0, "not in int8: calibrating it would take about "),
    ],
)
def test_otherwise_the_index_is_in_floating_point(
    auto: Settings,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    value: float,
    reason: str,
) -> None:
    monkeypatch.setattr(module, name, value)
    precision, told = started(auto)
    assert precision in {"fp32", "bf16"}
    assert len(told) == 2
    assert reason in told[1]


@pytest.mark.parametrize(
    "changes", [{"testing": True}, {"runtime": "torch"}, {"precision": "fp32"}, {"images_dir": ""}]
)
def test_settings_without_a_trial(
    auto: Settings, changes: dict[str, object], tmp_path: Path
) -> None:
    """The demo model's figures are printed in floating point; few pictures say nothing."""
    if "images_dir" in changes:
        changes = {"images_dir": tmp_path}
    precision, told = started(auto.model_copy(update=changes))
    assert precision in {"fp32", "bf16"}
    assert told == []


def test_a_processor_or_a_model_that_gains_nothing_is_not_tried(
    auto: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_choice, "WORTH_SECONDS", 60.0)
    assert started(auto)[1] == []
    monkeypatch.setattr(precision_choice, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(hardware, "INT8_FLAGS", {"none"})
    assert started(auto)[1] == []


def test_an_index_with_vectors_stays_in_floating_point(auto: Settings) -> None:
    with open_services(auto) as services:
        indexed(services)
        made = services.registry.default.index
    precision, told = started(auto)
    assert precision in {"fp32", "bf16"}
    assert told == []
    with open_services(auto) as services, services.sessions.begin() as session:
        assert services.registry.default.index == made
        assert vector_indexes.count_vectors(session, made) == 1
