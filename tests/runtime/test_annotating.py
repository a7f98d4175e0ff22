"""Reading words in pictures by jobs: what is stale, what fails, what is cancelled, what is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from app.database.tables import images
from app.ingest.jobs.jobs import Job
from app.runtime.annotating.text_annotator import TextAnnotator
from app.runtime.services import Services
from app.settings import Settings
from app.understanding.annotators import annotation_rows
from tests.fixtures.extras import needs_ocr
from tests.fixtures.folder_jobs import rows, run, sql
from tests.fixtures.http_jobs import working
from tests.fixtures.pictures_with_text import with_text, without_text

pytestmark = needs_ocr

LINES = {"menu.png": "Lemon cake", "ticket.png": "Train to Hamburg", "note.png": "Buy milk today"}


@pytest.fixture(scope="module")
def folder(settings: Settings, services: Services) -> Iterator[Path]:
    """The service's folder with pictures that are indexed and read."""
    folder = Path(settings.source_dir)
    folder.mkdir()
    for name, line in LINES.items():
        (folder / name).write_bytes(with_text(line))
    with working(services):
        run(services, folder)
        follow_choice(services)
    yield folder
    services.annotators.choose(services.registry.default, [])


def choose(services: Services) -> None:
    services.annotators.choose(services.registry.default, ["text"])


def follow_choice(services: Services) -> Job:
    """The job of the annotator, followed to its end."""
    choose(services)
    return follow(services)


def follow(services: Services) -> Job:
    job_id = job_of(services)
    assert job_id is not None
    return services.job_submission.follow(job_id)


def job_of(services: Services) -> int | None:
    (found,) = services.annotators.listed(services.registry.default)
    return found.turned_on.job_id


def coverage(services: Services) -> tuple[int, int, int, int]:
    (found,) = services.annotators.listed(services.registry.default)
    assert found.coverage is not None
    known = found.coverage
    return known.read, known.skipped, known.failed, known.waiting


def read(services: Services, name: str) -> list[str]:
    return [line.text for line in services.annotators.texts(rows(services)[name]).lines]


def test_a_changed_file_is_read_again_alone(services: Services, folder: Path) -> None:
    assert coverage(services) == (3, 0, 0, 0)
    (folder / "menu.png").write_bytes(with_text("Cherry pie"))
    with working(services):
        run(services, folder)
        assert read(services, "menu.png") == []  # what it said before is no longer found
        services.annotators.look_at_new()
        job = follow(services)
    assert (job.total, job.added) == (1, 1)
    assert read(services, "menu.png") == ["Cherry pie"]


def test_a_new_version_reads_what_is_stale_alone(services: Services, folder: Path) -> None:
    services.annotators.keep_current()
    before = job_of(services)
    ticket = rows(services)["ticket.png"]
    query = "UPDATE image_annotations SET version = 'old' WHERE image_id = :id"
    sql(services, query, id=ticket)
    assert coverage(services) == (2, 0, 0, 1)
    assert read(services, "ticket.png") == [LINES["ticket.png"]]  # until it is read anew
    services.annotators.look_at_new()
    assert job_of(services) == before  # it is not new
    services.annotators.keep_current()
    with working(services):
        job = follow(services)
    assert (job.id == before, job.state, job.total) == (False, "succeeded", 1)
    assert coverage(services) == (3, 0, 0, 0)


def test_a_picture_that_cannot_be_read_fails_alone_and_can_be_tried_again(
    services: Services, folder: Path
) -> None:
    for name in ("gone.png", "there.png"):
        (folder / name).write_bytes(with_text(name))
    with working(services):
        assert run(services, folder).added == 2
        (folder / "gone.png").rename(folder / "gone.away")
        job = follow_choice(services)
    assert (job.state, job.failed, job.added) == ("succeeded", 1, 1)
    assert coverage(services) == (4, 0, 1, 0)
    found = services.annotators.texts(rows(services)["gone.png"])
    assert found.annotations[0].state == "failed"
    assert "gone" in (found.annotations[0].reason or "")
    services.annotators.keep_current()
    assert job_of(services) == job.id  # it would fail again
    (folder / "gone.away").rename(folder / "gone.png")
    with working(services):
        assert follow_choice(services).added == 1
    assert coverage(services) == (5, 0, 0, 0)


def test_a_cancelled_job_is_not_begun_again_by_itself(services: Services, folder: Path) -> None:
    sql(services, "UPDATE image_annotations SET state = 'waiting', version = NULL")
    services.annotators.look_at_new()
    cancelled = job_of(services)
    assert cancelled is not None
    services.job_submission.cancel(cancelled)
    with working(services):
        assert follow(services).state == "cancelled"
    services.annotators.look_at_new()
    services.annotators.keep_current()
    assert job_of(services) == cancelled
    with working(services):
        assert follow_choice(services).state == "succeeded"
    assert coverage(services)[3] == 0


def test_a_reader_that_is_killed_is_replaced_and_its_picture_read(
    services: Services, folder: Path
) -> None:
    reading = services.worker.annotation_work.annotators["text"]
    assert isinstance(reading, TextAnnotator)
    reader = reading.reader
    (folder / "kill.png").write_bytes(with_text("still here"))
    with working(services):
        reader.read(Image.new("RGB", (1, 1)))  # it is running
        assert reader._held.value is not None
        for process in reader._held.value._processes.values():
            process.kill()
        run(services, folder)
        services.annotators.look_at_new()
        follow(services)
    assert read(services, "kill.png") == ["still here"]


def test_an_answer_on_a_picture_that_has_changed_meanwhile_is_not_written(
    services: Services, folder: Path
) -> None:
    image_id = rows(services)["note.png"]
    (on,) = [one.turned_on for one in services.annotators.listed(services.registry.default)]
    with services.sessions.begin() as session:
        query = select(images.c.content_hash).where(images.c.id == image_id)
        content_hash = session.execute(query).scalar_one()
        assert annotation_rows.lock_unchanged(session, on, image_id, content_hash)
        assert not annotation_rows.lock_unchanged(session, on, image_id, b"another")


def test_a_picture_without_words_is_passed_over(services: Services, folder: Path) -> None:
    (folder / "sky.png").write_bytes(without_text(7))
    with working(services):
        run(services, folder)
        services.annotators.look_at_new()
        follow(services)
    (annotation,) = services.annotators.texts(rows(services)["sky.png"]).annotations
    assert annotation.state == "skipped"
