"""Labels by jobs and at ingest: what is stale, what fails, and what is cancelled."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.errors import LabelSetNotFound
from app.runtime.labelling import label_work
from app.runtime.labelling.label_sets import CoveredLabelSet
from app.runtime.labelling.label_work import LabelWork
from app.runtime.services import Services
from app.settings import Settings
from app.understanding.labels.labels import Label, LabelSet
from tests.conftest import TEST_IMAGES
from tests.fixtures.folder_jobs import rows, run, sql
from tests.fixtures.http_jobs import working

KIND = LabelSet(
    "kind", (Label("plant", ("a tree", "a rose", "a tulip")), Label("animal", ("a cat", "a dog")))
)
NAMES = ("green-tree.jpg", "red-rose.jpg", "cat.jpg", "dog.jpg")


@pytest.fixture(scope="module")
def folder(settings: Settings, services: Services) -> Path:
    """The service's folder with some pictures of the demo, which are indexed."""
    folder = Path(settings.source_dir)
    folder.mkdir()
    for name in NAMES:
        copy(TEST_IMAGES / name, folder)
    with working(services):
        run(services, folder)
    return folder


@pytest.fixture
def labelled(services: Services, folder: Path) -> Iterator[CoveredLabelSet]:
    """The set `kind`, with all pictures labelled by it."""
    known = services.registry.default
    with working(services):
        covered, _ = services.label_sets.put(known, KIND)
        follow(services, covered)
    yield services.label_sets.get(known, "kind")
    services.label_sets.delete(known, "kind")


def follow(services: Services, covered: CoveredLabelSet) -> Any:
    assert covered.stored.job_id is not None
    return services.job_submission.follow(covered.stored.job_id)


def kind(services: Services, image_id: int) -> list[str]:
    return [one.label for one in services.label_sets.of_image(image_id)]


def all_kinds(services: Services) -> dict[str, list[str]]:
    return {name: kind(services, image_id) for name, image_id in rows(services).items()}


EXPECTED = dict(zip(NAMES, (["plant"], ["plant"], ["animal"], ["animal"]), strict=True))


def test_a_folder_job_labels_what_it_adds_and_what_has_changed(
    services: Services, folder: Path, labelled: CoveredLabelSet
) -> None:
    assert all_kinds(services) == EXPECTED
    copy(TEST_IMAGES / "tulip.webp", folder)
    copy(TEST_IMAGES / "tree.jpg", folder / "cat.jpg")
    with working(services):
        run(services, folder)
    found = all_kinds(services)
    assert (found.pop("tulip.webp"), found.pop("cat.jpg")) == (["plant"], ["plant"])
    copy(TEST_IMAGES / "cat.jpg", folder)
    with working(services):
        run(services, folder)
    assert kind(services, rows(services)["cat.jpg"]) == ["animal"]


def test_another_models_labels_are_told_anew(services: Services, labelled: CoveredLabelSet) -> None:
    """As after the activation of a generation: its fingerprint is not the set's."""
    services.label_sets.keep_current()
    known = services.registry.default
    assert services.label_sets.get(known, "kind").stored.job_id == labelled.stored.job_id
    sql(services, "UPDATE label_sets SET fingerprint = 'another', vectors = vectors || '\\x00'")
    services.label_sets.keep_current()
    again = services.label_sets.get(known, "kind")
    assert again.stored.job_id != labelled.stored.job_id
    services.label_sets.keep_current()  # it is under way
    assert services.label_sets.get(known, "kind").stored.job_id == again.stored.job_id
    with working(services):
        assert follow(services, again).state == "succeeded"
    now = services.label_sets.get(known, "kind")
    assert now.stored.revision > labelled.stored.revision
    assert now.stored.fingerprint == known.index.fingerprint
    assert all_kinds(services)["dog.jpg"] == ["animal"]


def test_a_set_that_fails_never_fails_an_ingest(
    services: Services,
    folder: Path,
    labelled: CoveredLabelSet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sql(services, "UPDATE label_sets SET vectors = '\\x00', revision = revision + 1")
    copy(TEST_IMAGES / "sunflower.jpg", folder)
    with working(services), caplog.at_level(logging.ERROR):
        assert run(services, folder).added == 1
    assert "has not labelled new pictures" in caplog.text
    assert kind(services, rows(services)["sunflower.jpg"]) == []
    sql(services, "UPDATE label_sets SET fingerprint = NULL, vectors = NULL")
    services.label_sets.keep_current()
    with working(services):
        follow(services, services.label_sets.get(services.registry.default, "kind"))
    assert all_kinds(services)["dog.jpg"] == ["animal"]
    assert len(kind(services, rows(services)["sunflower.jpg"])) == 1


def test_a_cancelled_job_is_not_begun_again_by_itself(
    services: Services, folder: Path, labelled: CoveredLabelSet
) -> None:
    known = services.registry.default
    wide = LabelSet("kind", (Label("plant", ("a tree",)), Label("cat")))
    changed, is_new = services.label_sets.put(known, wide)
    assert (is_new, changed.labelled) == (False, 0)
    assert changed.stored.job_id is not None
    services.job_submission.cancel(changed.stored.job_id)
    with working(services):
        assert follow(services, changed).state == "cancelled"
    services.label_sets.keep_current()
    assert services.label_sets.get(known, "kind").stored.job_id == changed.stored.job_id
    with working(services):  # the same set once more goes on
        follow(services, services.label_sets.put(known, wide)[0])
    assert kind(services, rows(services)["cat.jpg"]) == ["cat"]


def test_an_interrupted_job_goes_on_where_it_was(
    services: Services, folder: Path, labelled: CoveredLabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is one transaction; what has labels by the set as it is now is passed over."""
    monkeypatch.setattr(label_work, "BATCH", 2)
    cat = rows(services)["cat.jpg"]
    before = sql(services, "SELECT xmin::text FROM image_labels WHERE image_id = :id", id=cat)
    number = len(rows(services))
    sql(services, "DELETE FROM image_labels WHERE image_id <> :id", id=cat)
    covered, _ = services.label_sets.put(services.registry.default, KIND)
    with working(services):
        job = follow(services, covered)
    assert (job.state, job.added) == ("succeeded", number - 1)
    after = sql(services, "SELECT xmin::text FROM image_labels WHERE image_id = :id", id=cat)
    assert after == before
    assert services.label_sets.get(services.registry.default, "kind").labelled == number


class LettingGo(threading.Event):
    """A worker's `stop`, never set; the second time that it is asked a lock is given up."""

    def __init__(self, locked: Session) -> None:
        super().__init__()
        self.locked, self.asked = locked, 0

    def is_set(self) -> bool:
        self.asked += 1
        if self.asked == 2:
            self.locked.rollback()
        return False


def test_a_picture_that_is_being_changed_comes_later_and_counts_with_the_others(
    services: Services, labelled: CoveredLabelSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_work, "BATCH", 2)
    first = min(rows(services).values())
    sql(services, "DELETE FROM image_labels")
    covered, _ = services.label_sets.put(services.registry.default, KIND)
    assert covered.stored.job_id is not None
    with services.sessions() as locked:
        locked.execute(text("SELECT 1 FROM images WHERE id = :id FOR UPDATE"), {"id": first})
        work = LabelWork(services.sessions, services.registry, LettingGo(locked))
        work.run(covered.stored.job_id, 1)
    job = services.job_submission.job(covered.stored.job_id)
    number = len(rows(services))
    assert (job.state, job.added, job.total) == ("succeeded", number, number)


def test_a_set_that_is_deleted_ends_its_job(services: Services, folder: Path) -> None:
    known = services.registry.default
    covered, _ = services.label_sets.put(known, LabelSet("brief", (Label("cat"),)))
    services.label_sets.delete(known, "brief")
    with working(services):
        assert follow(services, covered).state == "cancelled"
    with pytest.raises(LabelSetNotFound):
        services.label_sets.get(known, "brief")


def test_the_coverage_of_a_set_is_of_the_model_that_searches(
    services: Services, labelled: CoveredLabelSet
) -> None:
    """What another model told is not done."""
    (covered,) = services.coverage.of(services.registry.default)
    pictures = len(rows(services))
    assert covered.sentence == f"label set kind: {pictures} of {pictures} pictures"
    assert f"default/default, {covered.sentence}" in services.doctor.examine().coverage
    sql(services, "UPDATE label_sets SET fingerprint = 'another'")
    (covered,) = services.coverage.of(services.registry.default)
    assert (covered.done, covered.pictures, covered.failed) == (0, pictures, 0)
